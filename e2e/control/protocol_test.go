package control

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"kanal/libs/protocol"
	"kanal/services/records"
)

// row is a row of the table: | Name | key | versions | service | ...
var row = regexp.MustCompile(`(?m)^\| (\w+) \| (\d+) \| (\d+)(?:-(\d+))? \| ([\w ]+) \|`)

// docs/protocol.md has a row for every api that is announced, with its versions
// and service, and none besides (ApiVersions is the front end's own).
func TestProtocolIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		key, _ := strconv.Atoi(m[2]) // digits
		if name := protocol.APIKey(key).String(); name != m[1] {
			t.Errorf("key %d is %s, its row says %s", key, name, m[1])
		}
		newest := m[4]
		if newest == "" {
			newest = m[3]
		}
		documented[m[1]] = fmt.Sprintf("%s-%s %s", m[3], newest, m[5])
	}
	release := protocol.Release()[protocol.ApiVersions]
	announced := map[string]string{"ApiVersions": fmt.Sprintf("%d-%d front end", release.Min, release.Max)}
	s, c := control(t)
	r, err := records.New(records.Config{Common: common, CacheBytes: 1 << 20, Window: 16, Replicas: 1}, deps(s))
	if err != nil {
		t.Fatal(err)
	}
	run(t, r)
	eventually(t, "three services", func() bool {
		services := make(map[string]bool)
		for _, h := range c.view.Handlers() {
			services[h.Service] = true
			for key, v := range h.APIs {
				announced[key.String()] = fmt.Sprintf("%d-%d %s", v.Min, v.Max, h.Service)
			}
		}
		return len(services) == 3
	})
	for name, want := range announced {
		if documented[name] != want {
			t.Errorf("%s is answered at %s, documented as %q", name, want, documented[name])
		}
	}
	for name := range documented {
		if announced[name] == "" {
			t.Errorf("%s is documented and nobody answers it", name)
		}
	}
}
