//go:build race

package requestchannel

// raceDetector tells that memory is several times of what it would be.
const raceDetector = true
