package frontend

import (
	"errors"
	"net/url"
	"testing"

	"kanal/libs/admin"
	"kanal/libs/socketserver"
)

// Each filter looks at the field of its name, and all that are given must fit.
func TestFilters(t *testing.T) {
	c := &admin.Connection{ID: "id", Listener: "listener", Principal: "principal", Address: "address", Software: "software", State: "state", Processor: 7}
	r := &admin.Request{API: "api", Where: "where", Service: "service", Handler: "handler", Connection: "connection", Principal: "principal", Address: "address", ClientID: "client"}
	for _, l := range []struct{ filters, fields []string }{{connectionFilters, connectionFields(c)}, {requestFilters, requestFields(r)}} {
		if len(l.filters) != len(l.fields) || !wanted(nil, l.filters, l.fields) {
			t.Fatalf("%v of %v", l.filters, l.fields)
		}
		for i, name := range l.filters {
			if name != l.fields[i] && name != "processor" {
				t.Errorf("%s looks at %s", name, l.fields[i])
			}
			fits := url.Values{name: {l.fields[i]}}
			if !wanted(fits, l.filters, l.fields) || wanted(url.Values{name: {""}}, l.filters, l.fields) {
				t.Errorf("%s does not filter", name)
			}
			fits.Set(l.filters[(i+1)%len(l.filters)], "another")
			if wanted(fits, l.filters, l.fields) {
				t.Errorf("%v fits", fits)
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	if p, err := placeOf("3.1024"); err != nil || p != (socketserver.Place{Processor: 3, Slot: 1024}) {
		t.Error(p, err)
	}
	for _, bad := range []string{"x", "3", "-1.0", "1.-1"} {
		if _, err := placeOf(bad); !errors.Is(err, admin.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
