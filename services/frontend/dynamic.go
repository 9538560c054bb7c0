package frontend

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
	"kanal/libs/socketserver"
	"kanal/libs/ssl"
	"kanal/services/frontend/internal/requestlog"
)

// reactor is what of a server changes while it runs.
type reactor interface {
	UpdateQuotas(q socketserver.Quotas, listeners map[string]socketserver.ListenerQuotas) error
	AddListener(l socketserver.ListenerConfig) error
	RemoveListener(name string) error
	Resize(listener string, processors int) error
	UpdateTLS(listener string, cfg ssl.Config) error
}

// dynamic makes a running front end what the cluster's broker configs make of
// its environment (DynamicBrokerConfig, 1.16). Each new set of configs is held
// against the environment alone, compared with what runs, and the difference is
// applied: a set that is wrong changes nothing; a step that fails leaves the
// others done and is tried again.
type dynamic struct {
	// immutable once the server is built
	base    Config // the environment
	stored  func() cluster.BrokerConfigs
	server  reactor
	prepare func(*listener) error // for AddListener
	logs    func(requestlog.Config) error
	tell    func(listeners []listener, config *requestchannel.FrontEndConfig)
	log     *slog.Logger
	metrics *configMetrics
	changed chan struct{}
	// environment is base by the keys of broker configs.
	environment map[string]string

	// running is read by others, and replaced by the goroutine that follows.
	running atomic.Pointer[[]listener]

	// owned by the goroutine that follows
	logged     requestlog.Config
	seen       uint64
	applied    uint64
	unfinished bool // a step of seen failed
}

// newDynamic begins with what is stored. Listeners that only the configs name are
// not among the first: they are added once the others are open, because one whose
// port is taken must not keep a front end from starting.
func (s *Service) newDynamic() *dynamic {
	d := &dynamic{
		base: s.cfg, logged: s.cfg.requestLog(), environment: s.cfg.environment(s.listeners), tell: s.announce,
		stored:  func() cluster.BrokerConfigs { return cluster.BrokerConfigs{} },
		prepare: s.authenticate, logs: func(c requestlog.Config) error { return s.requestLog.Update(c) }, log: s.log, metrics: newConfigMetrics(s.deps.Metrics), changed: make(chan struct{}, 1),
	}
	d.run(s.listeners)
	if s.registry == nil {
		return d
	}
	d.stored = s.registry.BrokerConfigs
	s.registry.OnChange(d.wake)
	if _, target, err := d.target(d.stored()); err == nil { // else the first look tells
		p, _ := planned(s.listeners, target)
		d.run(p.keep)
	}
	return d
}

// quotas of the server as it starts: those of the configs, if they can be had.
func (d *dynamic) quotas(ctx context.Context) (socketserver.Quotas, error) {
	if cfg, _, err := d.target(d.stored()); err == nil {
		if q, err := cfg.quotas(ctx); err == nil {
			return q, nil
		}
	}
	return d.base.quotas(ctx)
}

// wake has the configs looked at again. It may be called from any goroutine.
func (d *dynamic) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *dynamic) listeners() []listener { return *d.running.Load() }

// Bounds of the wait before a step that failed is tried again.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// follow applies what changes after a first look until ctx ends.
func (d *dynamic) follow(ctx context.Context) {
	wait := firstRetry
	retry := time.NewTimer(wait)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.changed: // the cluster, and perhaps not these configs
			if d.stored().Revision == d.seen {
				continue
			}
			wait = firstRetry
		case <-retry.C:
			if !d.unfinished {
				continue
			}
			wait = min(2*wait, lastRetry)
		}
		d.look(ctx)
		retry.Reset(wait)
	}
}

// look applies the configs that are stored now.
func (d *dynamic) look(ctx context.Context) {
	now := d.stored()
	d.seen = now.Revision
	cfg, target, err := d.target(now)
	if err != nil {
		d.unfinished = false
		d.failed(refused, err, "broker configs were refused; nothing was changed")
		return
	}
	err = d.apply(ctx, cfg, target)
	if ctx.Err() != nil {
		return // it is no longer of interest
	}
	if d.unfinished = err != nil; err != nil {
		d.failed(unapplied, err, "broker configs were applied in part; the rest is tried again")
		return
	}
	if d.applied != now.Revision {
		d.log.Info("broker configs were applied", "revision", now.Revision, "configs", len(now.Values))
	}
	d.applied = now.Revision
	d.report(nil)
}

// target is what the front end is to be: the environment's configuration with
// the configs that are stored, if it can become that.
func (d *dynamic) target(now cluster.BrokerConfigs) (Config, []listener, error) {
	if now.Err != nil {
		return Config{}, nil, now.Err
	}
	cfg, err := d.base.with(now.Values)
	if err != nil {
		return cfg, nil, err
	}
	target, err := cfg.listeners()
	if err == nil {
		_, err = planned(d.listeners(), target)
	}
	return cfg, target, err
}

func (d *dynamic) run(all []listener) { d.running.Store(&all) }

func (d *dynamic) failed(kind string, err error, message string) {
	d.log.Error(message, "revision", d.seen, "err", err)
	d.metrics.failures.WithLabelValues(kind).Inc()
	d.report(err)
}

// report tells the cluster what runs.
func (d *dynamic) report(err error) {
	config := &requestchannel.FrontEndConfig{Environment: d.environment, Applied: d.applied, Seen: d.seen}
	if err != nil {
		config.Error = err.Error()
	}
	d.metrics.seen.Set(float64(d.seen))
	d.metrics.applied.Set(float64(d.applied))
	d.tell(d.listeners(), config)
}
