package metadata

import (
	"strings"
	"testing"

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
	if !c.AutoCreateTopics || c.NumPartitions != 1 || c.Brokers != 1 || c.DefaultReplicationFactor != 1 {
		t.Errorf("defaults %+v", c)
	}
}

func TestValidateNamesEveryBadVariable(t *testing.T) {
	err := Config{}.Validate()
	for _, name := range []string{"KANAL_CLUSTER", "KANAL_BROKERS", "KANAL_NUM_PARTITIONS", "KANAL_DEFAULT_REPLICATION_FACTOR", "KANAL_METADATA_WINDOW", "KANAL_METADATA_JANITOR_INTERVAL", "KANAL_METADATA_JANITOR_AGE"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
