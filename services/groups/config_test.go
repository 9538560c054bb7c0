package groups

import (
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
)

func TestDefaultsAreValid(t *testing.T) {
	var c Config
	if err := env.ParseWithOptions(&c, env.Options{Environment: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.InitialRebalanceDelay != 100*time.Millisecond || c.MinSessionTimeout != 6*time.Second || c.MaxSessionTimeout != 30*time.Minute || c.OffsetMetadataMaxBytes != 4096 ||
		c.OffsetsRetention != 7*24*time.Hour || c.ConsumerHeartbeatInterval != 5*time.Second || c.ConsumerSessionTimeout != 45*time.Second ||
		len(c.ConsumerAssignors) != 2 {
		t.Errorf("defaults %+v", c)
	}
}

func TestValidateNamesEveryBadVariable(t *testing.T) {
	err := Config{InitialRebalanceDelay: -1, OffsetMetadataMaxBytes: -1, ConsumerMaxSize: -1, ConsumerAssignors: []string{"cooperative"}}.Validate()
	for _, name := range []string{
		"KANAL_CLUSTER", "KANAL_DEFAULT_REPLICATION_FACTOR", "KANAL_GROUPS_INITIAL_REBALANCE_DELAY", "KANAL_GROUPS_MIN_SESSION_TIMEOUT",
		"KANAL_GROUPS_MAX_SESSION_TIMEOUT", "KANAL_GROUPS_OFFSET_METADATA_MAX_BYTES", "KANAL_GROUPS_OFFSETS_RETENTION", "KANAL_GROUPS_CLEAN_INTERVAL", "KANAL_GROUPS_WINDOW",
		"KANAL_GROUPS_CONSUMER_HEARTBEAT_INTERVAL", "KANAL_GROUPS_CONSUMER_SESSION_TIMEOUT", "KANAL_GROUPS_CONSUMER_MAX_SIZE", "KANAL_GROUPS_CONSUMER_ASSIGNORS",
		"KANAL_GROUPS_MAX_SESSION_TIMEOUT", "KANAL_GROUPS_OFFSET_METADATA_MAX_BYTES", "KANAL_GROUPS_OFFSETS_RETENTION", "KANAL_GROUPS_CLEAN_INTERVAL", "KANAL_GROUPS_WINDOW", "KANAL_GROUPS_TRANSACTION_MAX_TIMEOUT", "KANAL_GROUPS_TRANSACTIONAL_ID_RETENTION",
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
