package kanalctl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
)

// configCommand is one of the commands about broker configs.
type configCommand struct {
	name string
	args []string
	out  output
}

// config runs kanalctl config list|get|set|unset.
func config(ctx context.Context, args []string, stdout io.Writer) error {
	c, err := parseConfig(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return printUsage(stdout)
	} else if err != nil {
		return fmt.Errorf("config: %w; %w", err, ErrUsage)
	}
	s, err := connect(c.out)
	if err != nil {
		return err
	}
	defer s.close()
	return s.config(ctx, c)
}

func parseConfig(args []string, stdout io.Writer) (*configCommand, error) {
	c := &configCommand{out: output{Writer: stdout}}
	flags := newFlags()
	flags.BoolVar(&c.out.json, "json", false, "")
	if len(args) == 0 {
		return nil, errors.New("want list, get, set or unset")
	}
	c.name = args[0]
	if c.name == "-h" || c.name == "-help" {
		return nil, flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	c.args = flags.Args()
	switch wants := len(c.args) > 0; {
	case !slices.Contains([]string{"list", "get", "set", "unset"}, c.name):
		return nil, fmt.Errorf("unknown command %q", c.name)
	case c.name == "list" && wants:
		return nil, fmt.Errorf("list: unknown argument %q", c.args[0])
	case c.name != "list" && !wants:
		return nil, fmt.Errorf("%s: which config?", c.name)
	}
	if c.name != "set" {
		return c, nil
	}
	for _, arg := range c.args {
		if key, _, ok := strings.Cut(arg, "="); !ok || key == "" {
			return nil, fmt.Errorf("set: %q is not key=value", arg)
		}
	}
	return c, nil
}

// applyTime is how long front ends may take to tell that they have applied a
// change; a listener that is removed takes up to ten seconds.
const applyTime = 15 * time.Second

func (s *session) config(ctx context.Context, c *configCommand) error {
	registry, err := s.registry(ctx)
	if err != nil {
		return err
	}
	defer registry.Close()
	view, err := requestchannel.NewView(s.nc, s.subjects(), slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("listen to announcements: %w", err)
	}
	defer view.Close()
	select {
	case <-time.After(listenTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch c.name {
	case "list":
		return s.out.print(listed(registry, view, func(d *ConfigEntry) bool { return d.Value != nil || len(d.Environment) > 0 }))
	case "get":
		return s.get(registry, view, c.args)
	}
	return s.alter(ctx, registry, view, c)
}

func (s *session) get(registry *cluster.Registry, view *requestchannel.View, keys []string) error {
	var errs []error
	for _, key := range keys {
		_, _, err := cluster.BrokerConfig(key)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.out.print(listed(registry, view, func(d *ConfigEntry) bool { return slices.Contains(keys, d.Key) }, keys...))
}

// alter stores a change and waits until every front end has told what became of
// it.
func (s *session) alter(ctx context.Context, registry *cluster.Registry, view *requestchannel.View, c *configCommand) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout+applyTime)
	defer cancel()
	stored, err := registry.UpdateBrokerConfigs(ctx, func(values map[string]string) error {
		before := maps.Clone(values)
		c.change(values)
		return cluster.CheckBrokerUpdate(view.FrontEnds(), before, values, registry.Info().Brokers)
	})
	if errors.Is(err, cluster.ErrInvalidEntry) {
		return fmt.Errorf("%w; delete it (nats kv del %s %s)", err, cluster.BucketName(s.cfg.Cluster), cluster.BrokerConfigsKey)
	}
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := registry.Wait(ctx, stored.Revision); err != nil {
		return err
	}
	pending := awaitApplied(ctx, view, stored.Revision)
	if err := s.out.print(listed(registry, view, func(d *ConfigEntry) bool { return d.Value != nil })); err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("stored as revision %d, and not applied by %s", stored.Revision, strings.Join(pending, ", "))
	}
	return nil
}

func (c *configCommand) change(values map[string]string) {
	for _, arg := range c.args {
		key, value, _ := strings.Cut(arg, "=")
		if c.name == "set" {
			values[key] = value
		} else {
			delete(values, key)
		}
	}
}

// awaitApplied gives the front ends that do not run with a revision, once all
// have tried or time is over.
func awaitApplied(ctx context.Context, view *requestchannel.View, revision uint64) (pending []string) {
	ctx, cancel := context.WithTimeout(ctx, applyTime)
	defer cancel()
	changed := make(chan struct{}, 1)
	view.OnChange(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		waiting := false
		pending = nil
		for _, f := range view.FrontEnds() {
			if f.Config == nil || f.Config.Applied >= revision {
				continue // one without follows no configs
			}
			pending = append(pending, f.ID)
			waiting = waiting || f.Config.Seen < revision
		}
		if !waiting {
			return pending
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return pending
		}
	}
}
