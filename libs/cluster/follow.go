package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// follow keeps the snapshot up to date until ctx ends. A watch that breaks, or
// that goes silent while the bucket moves on, is replaced by a new one, which
// starts from all that is stored.
func (r *Registry) follow(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		if err := r.watch(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("watch of the cluster's bucket was started again", "bucket", r.kv.Bucket(), "err", err)
		}
		if pause(ctx) != nil {
			return
		}
	}
}

// watch follows one watch from the stored values on.
func (r *Registry) watch(ctx context.Context) error {
	// Asked before: what is stored up to here is seen when the stored values
	// are, even if the newest message is a deletion that was cleared away.
	stored, err := r.lastRevision(ctx)
	if err != nil {
		return err
	}
	w, err := r.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer w.Stop()
	b := newBuilder(r.now.Load())
	if err := r.initial(ctx, w, b); err != nil {
		return err
	}
	b.revision = max(b.revision, stored)
	r.publish(b.snapshot())
	return r.updates(ctx, w, b)
}

// initial takes the stored values; the watcher ends them with a nil.
func (r *Registry) initial(ctx context.Context, w jetstream.KeyWatcher, b *builder) error {
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("watch ended")
			}
			if e == nil {
				return nil
			}
			r.apply(b, e)
		case <-time.After(r.cfg.CheckInterval):
			return fmt.Errorf("stored values did not arrive for %s", r.cfg.CheckInterval)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Registry) updates(ctx context.Context, w jetstream.KeyWatcher, b *builder) error {
	check := time.NewTicker(r.cfg.CheckInterval)
	defer check.Stop()
	var expected uint64 // what the bucket had at the last check
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("watch ended")
			}
			r.applyAll(b, e, w)
		case <-check.C:
			if b.revision < expected {
				return fmt.Errorf("watch is behind: revision %d of %d", b.revision, expected)
			}
			if last, err := r.lastRevision(ctx); err == nil { // NATS away: nothing to compare with
				expected = last
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// applyAll applies an entry and all that have arrived behind it, then makes one
// snapshot of them: a burst of changes costs one copy of the tables.
func (r *Registry) applyAll(b *builder, e jetstream.KeyValueEntry, w jetstream.KeyWatcher) {
	for {
		if e != nil {
			r.apply(b, e)
		}
		select {
		case next, ok := <-w.Updates():
			if ok {
				e = next
				continue
			}
		default:
		}
		r.publish(b.snapshot())
		return
	}
}

func (r *Registry) apply(b *builder, e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		b.remove(e.Key(), e.Revision())
		return
	}
	if err := b.put(e.Key(), e.Value(), e.Revision()); err != nil {
		r.log.Error("entry of the cluster's bucket was ignored", "bucket", r.kv.Bucket(), "key", e.Key(), "revision", e.Revision(), "err", err)
	}
}

func (r *Registry) lastRevision(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CheckInterval)
	defer cancel()
	status, err := r.kv.Status(ctx)
	if err != nil {
		return 0, fmt.Errorf("read bucket status: %w", err)
	}
	bucket, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return 0, fmt.Errorf("read bucket status: unexpected %T", status)
	}
	return bucket.StreamInfo().State.LastSeq, nil
}
