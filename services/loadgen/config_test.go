package loadgen

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// Everything that is wrong is told at once, by flag.
func TestValidate(t *testing.T) {
	err := Config{Addr: "x", Mode: "y", Connections: 0, Window: -1, Size: 0, Records: 0, Acks: 2}.Validate()
	for _, flag := range []string{"-addr", "-mode", "-connections", "-window", "-size", "-duration", "-records", "-acks"} {
		if err == nil || !strings.Contains(err.Error(), flag+" is") {
			t.Errorf("%v does not name %s", err, flag)
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestValidateProduce(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"fine":              {func(c *Config) {}, ""},
		"no topic":          {func(c *Config) { c.Topic = "" }, "-topic"},
		"too large a batch": {func(c *Config) { c.Size, c.Records = 1<<20, 101 }, "-records 101"},
		"too much at once":  {func(c *Config) { c.Size, c.Records, c.Window = 1<<20, 10, 100 }, "outstanding"},
	} {
		cfg := Defaults()
		cfg.Mode, cfg.Topic = ModeProduce, "t"
		c.change(&cfg)
		if err := cfg.Validate(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for args, says := range map[string]string{"-h": "-connections", "-version": "loadgen 0."} {
		var out bytes.Buffer
		if err := Run(t.Context(), []string{args}, &out, io.Discard); err != nil || !strings.Contains(out.String(), says) {
			t.Errorf("%s: %v, %s", args, err, out.String())
		}
	}
	for _, args := range [][]string{{"-nonsense"}, {"-acks", "some"}, {"more"}, {"-mode", "fetch"}} {
		if err := Run(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), args[len(args)-1]) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
