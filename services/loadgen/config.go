package loadgen

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Mode says what is sent.
type Mode string

// Modes.
const (
	ModeFrames      Mode = "frames"      // any length-prefixed frames, which an echo sends back
	ModeApiVersions Mode = "apiversions" // answered by the front end alone
	ModeMetadata    Mode = "metadata"    // of one topic, or only of the cluster
	ModeProduce     Mode = "produce"     // one batch of records per request
)

// Config of a run.
type Config struct {
	Addr        string // host:port; for Kafka modes a bootstrap address
	Mode        Mode
	Connections int
	Window      int // requests outstanding per connection
	// Size is the length in bytes of a frame (ModeFrames) or of a record's value
	// (ModeProduce).
	Size     int
	Duration time.Duration
	Topic    string // ModeProduce: made if it is missing; ModeMetadata: empty for none
	Records  int    // ModeProduce: in each batch
	Acks     int    // ModeProduce: -1 is all
}

// Defaults is a bounded run: 10 s, 64 connections.
func Defaults() Config {
	return Config{
		Addr: "localhost:9092", Mode: ModeApiVersions, Connections: 64, Window: 1, Size: 100,
		Duration: 10 * time.Second, Records: 10, Acks: -1,
	}
}

// Limits, so that a slip of the finger is an error and not an exhausted machine.
const (
	maxConnections = 1 << 20
	maxWindow      = 10_000
	maxFrame       = 100 << 20 // socket.request.max.bytes
	maxOutstanding = 2 << 30   // bytes of produce requests, which are kept until answered
)

// Validate returns everything that is wrong, by flag.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, flag string, value any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("-%s is %q: must be %s", flag, fmt.Sprint(value), allowed))
		}
	}
	_, _, err := net.SplitHostPort(c.Addr)
	check(err == nil, "addr", c.Addr, "host:port")
	switch c.Mode {
	case ModeFrames, ModeApiVersions, ModeMetadata, ModeProduce:
	default:
		check(false, "mode", c.Mode, "frames, apiversions, metadata or produce")
	}
	check(c.Connections >= 1 && c.Connections <= maxConnections, "connections", c.Connections, "1 to 1048576")
	check(c.Window >= 1 && c.Window <= maxWindow, "window", c.Window, "1 to 10000")
	check(c.Size >= 1 && c.Size <= maxFrame, "size", c.Size, "1 to 104857600 bytes")
	check(c.Duration > 0, "duration", c.Duration, "above 0, such as 10s")
	check(c.Records >= 1 && c.Records <= 1_000_000, "records", c.Records, "1 to 1000000")
	check(c.Acks >= -1 && c.Acks <= 1, "acks", c.Acks, "0, 1 or all")
	return errors.Join(append(errs, c.validateProduce())...)
}

func (c Config) validateProduce() error {
	if c.Mode != ModeProduce {
		return nil
	}
	if c.Topic == "" {
		return errors.New("-topic is missing: produce needs one")
	}
	request := float64(c.Records) * float64(c.Size)
	if request > maxFrame {
		return fmt.Errorf("-records %d of -size %d are %.0f bytes: a request must be at most %d", c.Records, c.Size, request, maxFrame)
	}
	if all := request * float64(c.Connections) * float64(c.Window); all > maxOutstanding {
		return fmt.Errorf("-connections, -window, -records and -size would keep %.0f bytes outstanding: must be at most %d", all, maxOutstanding)
	}
	return nil
}
