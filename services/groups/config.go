package groups

import (
	"errors"
	"slices"
	"strings"
	"time"

	"kanal/libs/service"
	"kanal/services/groups/internal/assignor"
)

// Config is the groups service's part of the environment.
type Config struct {
	service.Common
	// Replicas of the coordination logs' streams, 1 to 5; what topics get, so
	// that offsets last as long as records (offsets.topic.replication.factor).
	Replicas int `env:"KANAL_DEFAULT_REPLICATION_FACTOR" envDefault:"1"`
	// InitialRebalanceDelay is how long the first rebalance of an empty group
	// waits for more members (group.initial.rebalance.delay.ms; 3 s in Kafka).
	// Members that one deployment starts come within this time; a person at a
	// terminal does not notice it.
	InitialRebalanceDelay time.Duration `env:"KANAL_GROUPS_INITIAL_REBALANCE_DELAY" envDefault:"100ms"`
	// MinSessionTimeout is the shortest session a member may ask for
	// (group.min.session.timeout.ms).
	MinSessionTimeout time.Duration `env:"KANAL_GROUPS_MIN_SESSION_TIMEOUT" envDefault:"6s"`
	// MaxSessionTimeout is the longest (group.max.session.timeout.ms).
	MaxSessionTimeout time.Duration `env:"KANAL_GROUPS_MAX_SESSION_TIMEOUT" envDefault:"30m"`
	// OffsetMetadataMaxBytes is the longest string committed with an offset, in
	// bytes (offset.metadata.max.bytes).
	OffsetMetadataMaxBytes int `env:"KANAL_GROUPS_OFFSET_METADATA_MAX_BYTES" envDefault:"4096"`
	// OffsetsRetention is how long committed offsets stay that no member reads:
	// from the commit, or from when the group's last member went
	// (offsets.retention.minutes).
	OffsetsRetention time.Duration `env:"KANAL_GROUPS_OFFSETS_RETENTION" envDefault:"168h"`
	// CleanInterval is how often empty groups, expired offsets and offsets of
	// deleted topics are removed (offsets.retention.check.interval.ms).
	CleanInterval time.Duration `env:"KANAL_GROUPS_CLEAN_INTERVAL" envDefault:"10m"`
	// ConsumerHeartbeatInterval is what members of consumer groups (KIP-848) are
	// told to send heartbeats at (group.consumer.heartbeat.interval.ms).
	ConsumerHeartbeatInterval time.Duration `env:"KANAL_GROUPS_CONSUMER_HEARTBEAT_INTERVAL" envDefault:"5s"`
	// ConsumerSessionTimeout is how long a silent member of a consumer group stays
	// (group.consumer.session.timeout.ms).
	ConsumerSessionTimeout time.Duration `env:"KANAL_GROUPS_CONSUMER_SESSION_TIMEOUT" envDefault:"45s"`
	// ConsumerMaxSize is how many members a consumer group may have, 0 for any
	// number (group.consumer.max.size).
	ConsumerMaxSize int `env:"KANAL_GROUPS_CONSUMER_MAX_SIZE" envDefault:"0"`
	// ConsumerAssignors are the assignors that members may ask for, the default
	// first (group.consumer.assignors).
	ConsumerAssignors []string `env:"KANAL_GROUPS_CONSUMER_ASSIGNORS" envDefault:"uniform,range"`
	// TransactionMaxTimeout is the longest transaction that a producer may ask
	// for (transaction.max.timeout.ms).
	TransactionMaxTimeout time.Duration `env:"KANAL_GROUPS_TRANSACTION_MAX_TIMEOUT" envDefault:"15m"`
	// TransactionalIDRetention is how long a transactional id is known after its
	// last use (transactional.id.expiration.ms).
	TransactionalIDRetention time.Duration `env:"KANAL_GROUPS_TRANSACTIONAL_ID_RETENTION" envDefault:"168h"`
	// Window is how many requests an instance holds at once; parked ones are not
	// counted.
	Window int `env:"KANAL_GROUPS_WINDOW" envDefault:"256"`
}

// Validate returns every bad field, by variable name.
func (c Config) Validate() error {
	errs := []error{c.Common.Validate()}
	bad := func(wrong bool, variable string, value any, allowed string) {
		if wrong {
			errs = append(errs, service.Invalid(variable, value, allowed))
		}
	}
	bad(c.Replicas < 1 || c.Replicas > 5, "KANAL_DEFAULT_REPLICATION_FACTOR", c.Replicas, "1 to 5")
	bad(c.InitialRebalanceDelay < 0, "KANAL_GROUPS_INITIAL_REBALANCE_DELAY", c.InitialRebalanceDelay, "a duration from 0, such as 100ms")
	bad(c.MinSessionTimeout <= 0, "KANAL_GROUPS_MIN_SESSION_TIMEOUT", c.MinSessionTimeout, "a duration above 0, such as 6s")
	bad(c.MaxSessionTimeout <= 0 || c.MaxSessionTimeout < c.MinSessionTimeout, "KANAL_GROUPS_MAX_SESSION_TIMEOUT", c.MaxSessionTimeout, "a duration not below KANAL_GROUPS_MIN_SESSION_TIMEOUT")
	bad(c.OffsetMetadataMaxBytes < 0, "KANAL_GROUPS_OFFSET_METADATA_MAX_BYTES", c.OffsetMetadataMaxBytes, "at least 0")
	bad(c.OffsetsRetention <= 0, "KANAL_GROUPS_OFFSETS_RETENTION", c.OffsetsRetention, "a duration above 0, such as 168h")
	bad(c.CleanInterval <= 0, "KANAL_GROUPS_CLEAN_INTERVAL", c.CleanInterval, "a duration above 0, such as 10m")
	bad(c.ConsumerHeartbeatInterval < time.Millisecond, "KANAL_GROUPS_CONSUMER_HEARTBEAT_INTERVAL", c.ConsumerHeartbeatInterval, "a duration from 1ms, such as 5s")
	bad(c.ConsumerSessionTimeout <= c.ConsumerHeartbeatInterval, "KANAL_GROUPS_CONSUMER_SESSION_TIMEOUT", c.ConsumerSessionTimeout, "a duration above KANAL_GROUPS_CONSUMER_HEARTBEAT_INTERVAL")
	bad(c.ConsumerMaxSize < 0, "KANAL_GROUPS_CONSUMER_MAX_SIZE", c.ConsumerMaxSize, "at least 0")
	unknown := func(name string) bool { return assignor.Assignors[name] == nil }
	bad(len(c.ConsumerAssignors) == 0 || slices.ContainsFunc(c.ConsumerAssignors, unknown), "KANAL_GROUPS_CONSUMER_ASSIGNORS", strings.Join(c.ConsumerAssignors, ","), "one or more of uniform and range")
	bad(c.TransactionMaxTimeout <= 0, "KANAL_GROUPS_TRANSACTION_MAX_TIMEOUT", c.TransactionMaxTimeout, "a duration above 0, such as 15m")
	bad(c.TransactionalIDRetention <= 0, "KANAL_GROUPS_TRANSACTIONAL_ID_RETENTION", c.TransactionalIDRetention, "a duration above 0, such as 168h")
	bad(c.Window < 1, "KANAL_GROUPS_WINDOW", c.Window, "at least 1")
	return errors.Join(errs...)
}
