package records

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
}

func TestValidateNamesEveryBadVariable(t *testing.T) {
	err := Config{}.Validate()
	for _, name := range []string{"KANAL_CLUSTER", "KANAL_RECORDS_CACHE_BYTES", "KANAL_RECORDS_WINDOW", "KANAL_RECORDS_RETENTION_INTERVAL", "KANAL_DEFAULT_REPLICATION_FACTOR"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
