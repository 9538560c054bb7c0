//go:build !race

package requestchannel

const raceDetector = false
