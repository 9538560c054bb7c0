package standalone

import (
	"errors"
	"net"

	"kanal/libs/service"
	"kanal/services/frontend"
	"kanal/services/groups"
	"kanal/services/metadata"
	"kanal/services/records"
)

// Config is the sum of the services' configurations, so that a variable means
// the same everywhere, and what only standalone has.
type Config struct {
	FrontEnd frontend.Config
	Metadata metadata.Config
	Records  records.Config
	Groups   groups.Config
	// DataDir is the folder that the embedded NATS keeps everything in.
	DataDir string `env:"KANAL_DATA_DIR" envDefault:"./kanal-data"`
	// NATSListen is where the embedded NATS listens, for `nats` and native clients.
	NATSListen string `env:"KANAL_NATS_LISTEN" envDefault:"127.0.0.1:4222"`
	// SyncAlways: acknowledged means on disk. Without it the embedded NATS syncs
	// every two minutes, and a power cut loses what was acknowledged since.
	SyncAlways bool `env:"KANAL_SYNC_ALWAYS" envDefault:"true"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	errs := []error{c.FrontEnd.Validate(), c.Metadata.Validate(), c.Records.Validate(), c.Groups.Validate()}
	if c.DataDir == "" {
		errs = append(errs, service.Invalid("KANAL_DATA_DIR", c.DataDir, "a folder"))
	}
	if _, _, err := net.SplitHostPort(c.NATSListen); err != nil {
		errs = append(errs, service.Invalid("KANAL_NATS_LISTEN", c.NATSListen, "host:port, such as 127.0.0.1:4222"))
	}
	return errors.Join(errs...)
}
