package metadata

import (
	"errors"
	"time"

	"kanal/libs/service"
)

// Config is the metadata service's part of the environment.
type Config struct {
	service.Common
	// Brokers is how many brokers clients see; see design, section 6. A value
	// other than the cluster's replaces it.
	Brokers int32 `env:"KANAL_BROKERS" envDefault:"1"`
	// AutoCreateTopics: topics that clients ask for are made (auto.create.topics.enable).
	AutoCreateTopics bool `env:"KANAL_AUTO_CREATE_TOPICS" envDefault:"true"`
	// NumPartitions of topics that ask for no number (num.partitions).
	NumPartitions int32 `env:"KANAL_NUM_PARTITIONS" envDefault:"1"`
	// DefaultReplicationFactor of topics that ask for none
	// (default.replication.factor), and of what Kanal itself keeps in NATS.
	DefaultReplicationFactor int16 `env:"KANAL_DEFAULT_REPLICATION_FACTOR" envDefault:"1"`
	// Window is how many requests an instance holds at once.
	Window int `env:"KANAL_METADATA_WINDOW" envDefault:"256"`
	// JanitorInterval is how often streams without a topic are looked for.
	JanitorInterval time.Duration `env:"KANAL_METADATA_JANITOR_INTERVAL" envDefault:"5m"`
	// JanitorAge is how old such a stream must be to be removed.
	JanitorAge time.Duration `env:"KANAL_METADATA_JANITOR_AGE" envDefault:"10m"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	errs := []error{c.Common.Validate()}
	bad := func(wrong bool, variable string, value any, allowed string) {
		if wrong {
			errs = append(errs, service.Invalid(variable, value, allowed))
		}
	}
	bad(c.Brokers < 1 || c.Brokers > 1000, "KANAL_BROKERS", c.Brokers, "1 to 1000")
	bad(c.NumPartitions < 1 || c.NumPartitions > 10_000, "KANAL_NUM_PARTITIONS", c.NumPartitions, "1 to 10000")
	bad(c.DefaultReplicationFactor < 1 || c.DefaultReplicationFactor > 5, "KANAL_DEFAULT_REPLICATION_FACTOR", c.DefaultReplicationFactor, "1 to 5")
	bad(c.Window < 1, "KANAL_METADATA_WINDOW", c.Window, "at least 1")
	bad(c.JanitorInterval <= 0, "KANAL_METADATA_JANITOR_INTERVAL", c.JanitorInterval, "a duration above 0, such as 5m")
	// A creation takes a minute at most; what is younger may be one under way.
	bad(c.JanitorAge < 2*time.Minute, "KANAL_METADATA_JANITOR_AGE", c.JanitorAge, "a duration of at least 2m")
	return errors.Join(errs...)
}
