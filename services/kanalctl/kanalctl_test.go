package kanalctl

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
		bad  bool
	}{
		"help":              {args: []string{"-h"}, says: "KANAL_NATS_URL"},
		"help of a command": {args: []string{"status", "-h"}, says: "-watch"},
		"version":           {args: []string{"-version"}, says: "kanalctl 0."},
		"nothing":           {says: "no command", bad: true},
		"unknown command":   {args: []string{"stats"}, says: `"stats"`, bad: true},
		"unknown flag":      {args: []string{"topics", "-watch"}, says: "-watch", bad: true},
		"too much":          {args: []string{"topics", "all"}, says: `"all"`, bad: true},
		"help of config":    {args: []string{"config", "-h"}, says: "config set"},
		"config alone":      {args: []string{"config"}, says: "set or unset", bad: true},
		"config command":    {args: []string{"config", "show"}, says: `"show"`, bad: true},
		"config no value":   {args: []string{"config", "set", "max.connections"}, says: "key=value", bad: true},
		"config no key":     {args: []string{"config", "unset"}, says: "which config", bad: true},
		"config too much":   {args: []string{"config", "list", "all"}, says: `"all"`, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := Run(t.Context(), c.args, &out)
			if c.bad != errors.Is(err, ErrUsage) || !c.bad && err != nil {
				t.Fatal(err)
			}
			if c.bad {
				out.WriteString(err.Error())
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("%q does not say %s", out.String(), c.says)
			}
		})
	}
}

// Who reads the error learns where it looked, what to set, and no secret.
func TestNoNATS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for url, want := range map[string]string{
		"nats://me:secret@" + l.Addr().String(): "nats://me:xxxxx@" + l.Addr().String(),
		"nats://secret@" + l.Addr().String():    "nats://xxxxx@" + l.Addr().String(),
		"nats://me:secret@[::1":                 "(not a URL)",
	} {
		t.Setenv("KANAL_NATS_URL", url)
		err := Run(t.Context(), []string{"status"}, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "KANAL_NATS_URL") {
			t.Errorf("%v does not name %s", err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("told: %v", err)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Setenv("KANAL_CLUSTER", "a b")
	err := Run(t.Context(), []string{"topics"}, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), `KANAL_CLUSTER is "a b"`) {
		t.Fatal(err)
	}
}
