package ssl

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Factory holds the present engine of one listener and replaces it when its files change (SslFactory, P21). Connections
// keep the engine that they began with.
type Factory struct {
	log      *slog.Logger
	reloaded func(*Engine, error)
	engine   atomic.Pointer[Engine]

	mu    sync.Mutex
	cfg   Config      // guarded by mu
	stats []fileState // guarded by mu: of the files when they were last read
}

// fileState tells two versions of a file apart.
type fileState struct {
	info fs.FileInfo // nil: not there
}

// NewFactory makes the first engine. reloaded hears of every later attempt to replace it; it may be nil.
func NewFactory(cfg Config, log *slog.Logger, reloaded func(*Engine, error)) (*Factory, error) {
	f := &Factory{log: log, reloaded: reloaded, cfg: cfg, stats: look(cfg)}
	engine, err := NewEngine(cfg, time.Now())
	if err != nil {
		return nil, err
	}
	f.engine.Store(engine)
	return f, nil
}

// Engine is the present one, for a new connection. Any goroutine may call it.
func (f *Factory) Engine() *Engine { return f.engine.Load() }

// Update replaces the configuration and the engine; an error changes nothing.
func (f *Factory) Update(cfg Config) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.replace(cfg)
}

// replace is called with mu held.
func (f *Factory) replace(cfg Config) error {
	stats := look(cfg)
	engine, err := NewEngine(cfg, time.Now())
	if err == nil {
		err = compatible(f.Engine(), engine, cfg)
	}
	if err == nil {
		f.cfg, f.stats = cfg, stats
		f.engine.Store(engine)
	}
	if f.reloaded != nil { // who hears of it finds it done
		f.reloaded(engine, err)
	}
	if err != nil {
		return err
	}
	f.log.Info("certificates loaded", "file", cfg.CertificateFile, "subject", DistinguishedName(engine.leaf), "expires", engine.leaf.NotAfter)
	return nil
}

// Watch looks at the files every interval until ctx ends. What cannot be used is refused, with an error in the log, and
// looked at again when it changes again.
func (f *Factory) Watch(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.check()
		}
	}
}

func (f *Factory) check() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := look(f.cfg)
	if same(now, f.stats) {
		return
	}
	f.stats = now
	if err := f.replace(f.cfg); err != nil {
		f.log.Error("changed certificates refused, the present ones stay", "file", f.cfg.CertificateFile, "err", err)
	}
}

func look(c Config) (stats []fileState) {
	for _, file := range []string{c.CertificateFile, c.KeyFile, c.TrustedFile} {
		info, _ := os.Stat(file)
		stats = append(stats, fileState{info})
	}
	return stats
}

func same(a, b []fileState) bool {
	for i := range a {
		x, y := a[i].info, b[i].info
		if (x == nil) != (y == nil) {
			return false
		}
		if x != nil && (!os.SameFile(x, y) || !x.ModTime().Equal(y.ModTime()) || x.Size() != y.Size()) {
			return false
		}
	}
	return true
}
