package frontend

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kanal/libs/protocol"
	"kanal/libs/socketserver"
)

// testRequestPerSecAndDeprecatedRequestsPerSecMetrics, R7: the deprecated meter appears for a deprecated version only,
// with the client's software.
func TestDeprecatedRequestsBySoftware(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	named := &socketserver.Connection{SoftwareName: "old-client", SoftwareVersion: "0.1"}
	m.taken(named, &protocol.Header{Key: protocol.Fetch, Version: 4})
	if n := testutil.CollectAndCount(m.deprecated); n != 0 {
		t.Fatalf("%d series without a deprecated request", n)
	}
	m.taken(named, &protocol.Header{Key: protocol.Fetch, Version: 3})
	m.taken(named, &protocol.Header{Key: protocol.Fetch, Version: 3})
	m.taken(&socketserver.Connection{}, &protocol.Header{Key: protocol.Produce, Version: 0})
	if n := testutil.ToFloat64(m.deprecated.WithLabelValues("Fetch", "3", "old-client", "0.1")); n != 2 {
		t.Errorf("%v of the named client", n)
	}
	if n := testutil.ToFloat64(m.deprecated.WithLabelValues("Produce", "0", "unknown", "unknown")); n != 1 {
		t.Errorf("%v of the client without a name", n)
	}
}

func TestDeprecatedRequestsAreBounded(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	h := &protocol.Header{Key: protocol.Produce, Version: 0}
	for i := range 150 {
		m.taken(&socketserver.Connection{SoftwareName: fmt.Sprint("c", i), SoftwareVersion: "1"}, h)
	}
	m.taken(&socketserver.Connection{SoftwareName: strings.Repeat("x", 65), SoftwareVersion: "1"}, h)
	if n := testutil.CollectAndCount(m.deprecated); n != mostSoftware+1 {
		t.Errorf("%d series", n)
	}
	if n := testutil.ToFloat64(m.deprecated.WithLabelValues("Produce", "0", "other", "other")); n != 51 {
		t.Errorf("%v others", n)
	}
}
