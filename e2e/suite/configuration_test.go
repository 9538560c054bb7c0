package suite

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"

	"kanal/e2e/process"
	"kanal/libs/cluster"
	"kanal/libs/service"
	"kanal/services/echo"
	"kanal/services/frontend"
	"kanal/services/groups"
	"kanal/services/metadata"
	"kanal/services/records"
	"kanal/services/standalone"
)

// row is a row of the table: | `VARIABLE` | `default` | meaning |.
var row = regexp.MustCompile("(?m)^\\| `(KANAL_[A-Z0-9_<>]+)` \\|([^|]*)\\|([^|]*)")

// TestConfigurationIsDocumented holds docs/configuration.md against the code:
// every variable has a row with its default, and every row a variable.
func TestConfigurationIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(process.Root(t), "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	defaults, meanings := map[string]string{}, map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if _, twice := defaults[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		defaults[m[1]], meanings[m[1]] = m[2], m[3]
	}
	known := variables(t)
	for name, value := range known {
		documented, ok := defaults[name]
		switch {
		case !ok:
			t.Errorf("%s has no row", name)
		case value != "" && !strings.Contains(documented, "`"+value+"`"):
			t.Errorf("the default of %s is %q, its row says %q", name, value, strings.TrimSpace(documented))
		case strings.TrimSpace(meanings[name]) == "":
			t.Errorf("the row of %s does not say what it means", name)
		}
	}
	for name := range defaults {
		if _, ok := known[name]; !ok {
			t.Errorf("%s has a row, and no service reads it", name)
		}
	}
}

// configRow is a row of the table of broker configs: | `key` | of | in place of | meaning |.
var configRow = regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\| ([a-z, ]+) \\| ([^|]*) \\| ([^|]+) \\|$")

// TestBrokerConfigsAreDocumented holds the table of what changes while running
// against the one in the code.
func TestBrokerConfigsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(process.Root(t), "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for _, m := range configRow.FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = m[2:]
	}
	for _, d := range cluster.BrokerConfigDefs {
		row := rows[d.Name]
		delete(rows, d.Name)
		switch of := scope(&d); {
		case d.ReadOnly && row != nil:
			t.Errorf("%s is read at start and has a row", d.Name)
		case d.ReadOnly:
		case row == nil:
			t.Errorf("%s has no row", d.Name)
		case row[0] != of:
			t.Errorf("%s is of %q, its row says %q", d.Name, of, row[0])
		case !strings.Contains(row[1], "`"+d.Variable+"`") && d.Variable != "" || !strings.Contains(row[1], d.OfListener):
			t.Errorf("%s replaces %s and %s, its row says %s", d.Name, d.Variable, d.OfListener, row[1])
		}
	}
	for name := range rows {
		t.Errorf("%s has a row, and is no config", name)
	}
}

func scope(d *cluster.BrokerConfigDef) string {
	switch {
	case d.Fixed:
		return "listener, when it is added"
	case d.Variable == "" && d.OfListener != "":
		return "listener"
	case d.OfListener != "":
		return "all, listener"
	}
	return "all"
}

// variables are all that the services read, with their defaults. One that several
// services share must have the same default in each.
func variables(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(prefix string, configs ...any) {
		for _, c := range configs {
			params, err := env.GetFieldParams(c)
			if err != nil {
				t.Fatalf("%T: %v", c, err)
			}
			for _, p := range params {
				if before, ok := all[prefix+p.Key]; ok && before != p.DefaultValue {
					t.Errorf("%s has the defaults %q and %q", prefix+p.Key, before, p.DefaultValue)
				}
				all[prefix+p.Key] = p.DefaultValue
			}
		}
	}
	add("", &service.Process{}, &frontend.Config{}, &metadata.Config{}, &records.Config{}, &groups.Config{}, &echo.Config{}, &standalone.Config{})
	add("KANAL_LISTENER_<NAME>_", &frontend.Listener{})
	if !slices.Contains([]string{"PLAINTEXT://localhost:9092"}, all["KANAL_LISTENERS"]) {
		t.Fatalf("the configurations were not read: %v", all)
	}
	return all
}
