// Package process runs Kanal's binaries as real processes for tests: one
// standalone, or every service on its own beside a NATS server. A process is
// killed when its test ends, its log is shown when the test fails, and nothing
// here waits for a time: it polls for a state until a deadline, and gives up at
// once when the process it waits for has ended.
package process
