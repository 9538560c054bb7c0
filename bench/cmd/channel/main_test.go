package main

import (
	"os"
	"testing"
	"time"

	"kanal/bench/server"
)

func TestMain(m *testing.M) {
	server.Main()
	os.Exit(m.Run())
}

// Everything can be measured, however little it says in such a short time.
func TestMeasures(t *testing.T) {
	err := run(t.Context(), options{
		loads: []string{"1x8", "16x1024"}, peers: []string{"kanal", "raw", "raw-envelope", "micro"},
		rounds: 1, duration: 20 * time.Millisecond, slow: time.Millisecond, faults: true, scale: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoadsAreChecked(t *testing.T) {
	for _, bad := range []string{"x", "0x100", "16x7", "16"} {
		if err := run(t.Context(), options{loads: []string{bad}}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
