package frontend

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"kanal/libs/socketserver"
	"kanal/services/frontend/internal/requestlog"
)

// apply makes the difference. Ports are given up before others are taken.
func (d *dynamic) apply(ctx context.Context, cfg Config, target []listener) error {
	p, err := planned(d.listeners(), target)
	if err != nil {
		return err
	}
	errs := []error{d.limit(ctx, cfg, p.keep), d.record(cfg.requestLog())}
	for _, l := range p.remove {
		errs = append(errs, d.remove(l))
	}
	for _, l := range p.add {
		errs = append(errs, d.add(l))
	}
	for _, l := range p.keep {
		errs = append(errs, d.change(l))
	}
	return errors.Join(errs...)
}

// lookupTimeout bounds how long host names of overrides may take to be looked up.
const lookupTimeout = 5 * time.Second

// limit sets the quotas of the server and of listeners that stay (W2, D14).
func (d *dynamic) limit(ctx context.Context, cfg Config, stay []listener) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	quotas, err := cfg.quotas(ctx)
	if err != nil {
		return err
	}
	own := map[string]socketserver.ListenerQuotas{}
	for _, l := range stay {
		own[l.Name] = l.Quotas
	}
	return d.server.UpdateQuotas(quotas, own)
}

// record changes the request log, unless it is as it should be: a new one begins
// empty.
func (d *dynamic) record(c requestlog.Config) error {
	if reflect.DeepEqual(c, d.logged) {
		return nil
	}
	if err := d.logs(c); err != nil {
		return fmt.Errorf("change the request log: %w", err)
	}
	d.logged = c
	return nil
}

func (d *dynamic) remove(l listener) error { // W8
	if err := d.server.RemoveListener(l.Name); err != nil {
		return fmt.Errorf("remove listener %s: %w", l.Name, err)
	}
	d.log.Info("listener was removed", "listener", l.Name)
	d.run(slices.DeleteFunc(slices.Clone(d.listeners()), func(r listener) bool { return r.Name == l.Name }))
	return nil
}

func (d *dynamic) add(l listener) error { // W7
	err := d.prepare(&l)
	if err == nil {
		err = d.server.AddListener(l.ListenerConfig)
	}
	if err != nil {
		return fmt.Errorf("add listener %s: %w", l.Name, err)
	}
	d.run(append(slices.Clone(d.listeners()), l))
	return nil
}

// change gives a running listener what may change of it.
func (d *dynamic) change(l listener) error {
	before := find(d.listeners(), l.Name)
	if before.Processors != l.Processors { // W3
		if err := d.server.Resize(l.Name, l.Processors); err != nil {
			return fmt.Errorf("listener %s: resize to %d processors: %w", l.Name, l.Processors, err)
		}
		d.log.Info("number of processors was changed", "listener", l.Name, "before", before.Processors, "now", l.Processors)
	}
	if !reflect.DeepEqual(before.TLS, l.TLS) { // W10
		if err := d.server.UpdateTLS(l.Name, l.TLS); err != nil {
			return fmt.Errorf("listener %s: use other certificates: %w", l.Name, err)
		}
		d.log.Info("certificates were changed", "listener", l.Name)
	}
	all := slices.Clone(d.listeners())
	*find(all, l.Name) = l
	d.run(all)
	return nil
}
