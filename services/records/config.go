package records

import (
	"errors"
	"time"

	"kanal/libs/service"
)

// Config is the records service's part of the environment.
type Config struct {
	service.Common
	// CacheBytes is the memory for messages of all logs of this process: the recent ones and, a quarter, those read from storage.
	// Kafka leaves this to the page cache.
	CacheBytes int `env:"KANAL_RECORDS_CACHE_BYTES" envDefault:"67108864"`
	// Window is how many requests an instance holds at once, over all front ends (num.io.threads, about).
	Window int `env:"KANAL_RECORDS_WINDOW" envDefault:"256"`
	// FetchSessions is how many an instance keeps (max.incremental.fetch.session.cache.slots). Consumers without one name all their
	// partitions in each request.
	FetchSessions int `env:"KANAL_RECORDS_FETCH_SESSIONS" envDefault:"1000"`
	// RetentionInterval is how often records are looked for that retention.ms and retention.bytes let go
	// (log.retention.check.interval.ms).
	RetentionInterval time.Duration `env:"KANAL_RECORDS_RETENTION_INTERVAL" envDefault:"5m"`
	// Replicas of what Kanal itself keeps in NATS, should this process be the first of its cluster (default.replication.factor).
	Replicas int `env:"KANAL_DEFAULT_REPLICATION_FACTOR" envDefault:"1"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	errs := []error{c.Common.Validate()}
	bad := func(wrong bool, variable string, value any, allowed string) {
		if wrong {
			errs = append(errs, service.Invalid(variable, value, allowed))
		}
	}
	bad(c.CacheBytes < 1<<20, "KANAL_RECORDS_CACHE_BYTES", c.CacheBytes, "at least 1048576 bytes")
	bad(c.FetchSessions < 0, "KANAL_RECORDS_FETCH_SESSIONS", c.FetchSessions, "at least 0")
	bad(c.RetentionInterval < 100*time.Millisecond, "KANAL_RECORDS_RETENTION_INTERVAL", c.RetentionInterval, "a duration of at least 100ms")
	bad(c.Window < 1, "KANAL_RECORDS_WINDOW", c.Window, "at least 1")
	bad(c.Replicas < 1 || c.Replicas > 5, "KANAL_DEFAULT_REPLICATION_FACTOR", c.Replicas, "1 to 5")
	return errors.Join(errs...)
}
