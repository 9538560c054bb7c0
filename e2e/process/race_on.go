//go:build race

package process

// raceFlag builds the binaries as the test itself was built, so that a race in
// a service shows in its log and in its exit code.
const raceFlag = "-race"
