// Package topics creates, grows and deletes topics: the streams of their logs
// and their entries in the cluster's bucket, in the order that leaves nothing
// half done visible (design section 7): streams before the entry, the entry
// before the streams, and a janitor for what neither finished. Its Kafka
// counterpart is the controller's ReplicationControlManager.
package topics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/cluster"
	"kanal/libs/log"
)

// Registry is what topics are read from and written to.
type Registry interface {
	Topic(name string) *cluster.Topic
	Colliding(name string) *cluster.Topic
	CreateTopic(ctx context.Context, t *cluster.Topic) error
	UpdateTopic(ctx context.Context, name string, change func(*cluster.Topic) error) (*cluster.Topic, error)
	DeleteTopic(ctx context.Context, name string, id [16]byte) error
	TopicIDs(ctx context.Context) (map[[16]byte]bool, error)
	Wait(ctx context.Context, revision uint64) error
	WaitGone(ctx context.Context, id [16]byte) error
}

// Config of an Admin.
type Config struct {
	Prefix, Cluster string
	// Timeout bounds one creation or deletion, whatever the client says: the
	// janitor relies on it.
	Timeout time.Duration
}

// Counters are the counts that an Admin keeps.
type Counters struct {
	Created, Deleted, Orphans atomic.Int64
}

// Admin changes topics. Its methods are safe for any goroutine.
type Admin struct {
	cfg Config
	reg Registry
	js  jetstream.JetStream
	log *slog.Logger
	// Counters may be read at any time.
	Counters Counters

	mu      sync.Mutex
	flights map[string]*flight
	flying  sync.WaitGroup
}

// flight is a creation under way, for others that want the same topic.
type flight struct {
	done  chan struct{}
	topic *cluster.Topic
	err   error
}

// New makes an Admin.
func New(cfg Config, reg Registry, js jetstream.JetStream, log *slog.Logger) *Admin {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	return &Admin{cfg: cfg, reg: reg, js: js, log: log, flights: make(map[string]*flight)}
}

// Close waits for the creations under way. Nothing may be asked of a closed Admin.
func (a *Admin) Close() { a.flying.Wait() }

// CheckNew refuses the name of a topic that exists or that collides with one.
func (a *Admin) CheckNew(name string) error {
	if a.reg.Topic(name) != nil {
		return refuse(kerr.TopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if other := a.reg.Colliding(name); other != nil {
		return refuse(kerr.InvalidTopicException, "Topic '%s' collides with existing topic: %s", name, other.Name)
	}
	return nil
}

// Create makes a topic and returns when the own registry knows it.
func (a *Admin) Create(ctx context.Context, s Spec) (*cluster.Topic, error) {
	if err := a.CheckNew(s.Name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	t := &cluster.Topic{
		Name: s.Name, ID: cluster.NewID(), Partitions: s.Partitions, Logs: s.Logs,
		ReplicationFactor: s.Factor, StreamReplicas: int(s.Factor), Configs: s.Configs, Created: time.Now(),
	}
	if err := a.createStreams(ctx, t); err != nil {
		a.abandon(ctx, t)
		return nil, err
	}
	if err := a.reg.CreateTopic(ctx, t); err != nil {
		if errors.Is(err, cluster.ErrTopicExists) { // known to have lost; else the entry may stand
			a.abandon(ctx, t)
			return nil, refuse(kerr.TopicAlreadyExists, "Topic '%s' already exists.", s.Name)
		}
		return nil, Trouble(err)
	}
	a.Counters.Created.Add(1)
	a.log.Info("topic was created", "topic", t.Name, "id", cluster.ID(t.ID).String(), "partitions", t.Partitions, "logs", t.Logs)
	if err := a.reg.Wait(ctx, t.Revision); err != nil {
		return nil, Trouble(err)
	}
	return t, nil
}

// Ensure returns the topic of that name and makes it if there is none. Many may
// want the same one at once: in this process one of them makes it.
func (a *Admin) Ensure(ctx context.Context, s Spec) (*cluster.Topic, error) {
	a.mu.Lock()
	f := a.flights[s.Name]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		a.flights[s.Name] = f
		// Not the first one's context: he may leave while others wait.
		a.flying.Go(func() { a.fly(context.WithoutCancel(ctx), s, f) })
	}
	a.mu.Unlock()
	select {
	case <-f.done:
		return f.topic, f.err
	case <-ctx.Done():
		return nil, Trouble(ctx.Err())
	}
}

func (a *Admin) fly(ctx context.Context, s Spec, f *flight) {
	f.topic, f.err = a.Create(ctx, s)
	if f.err != nil {
		if t := a.reg.Topic(s.Name); t != nil { // somebody else's, of another process
			f.topic, f.err = t, nil
		}
	}
	a.mu.Lock()
	delete(a.flights, s.Name)
	a.mu.Unlock()
	close(f.done)
}

// Grow raises the number of partitions; check sees the newest state of the
// topic and may refuse.
func (a *Admin) Grow(ctx context.Context, name string, count int32, check func(*cluster.Topic) error) error {
	return a.Change(ctx, name, func(t *cluster.Topic) error {
		if err := check(t); err != nil {
			return err
		}
		t.Partitions = count
		return nil
	})
}

// Change changes a topic and returns when the own registry knows it; change gets
// a copy of the newest state and may refuse.
func (a *Admin) Change(ctx context.Context, name string, change func(*cluster.Topic) error) error {
	t, err := a.reg.UpdateTopic(ctx, name, change)
	if err != nil {
		return Trouble(err)
	}
	return Trouble(a.reg.Wait(ctx, t.Revision))
}

// Delete removes a topic and returns when the own registry no longer knows it.
func (a *Admin) Delete(ctx context.Context, t *cluster.Topic) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if err := a.reg.DeleteTopic(ctx, t.Name, t.ID); err != nil {
		return Trouble(err)
	}
	a.Counters.Deleted.Add(1)
	a.log.Info("topic was deleted", "topic", t.Name, "id", cluster.ID(t.ID).String())
	a.abandon(ctx, t)
	return Trouble(a.reg.WaitGone(ctx, t.ID))
}

// abandon deletes the streams of a topic without an entry. What fails here is
// the janitor's.
func (a *Admin) abandon(ctx context.Context, t *cluster.Topic) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Timeout)
	defer cancel()
	err := each(t.StreamNames(a.cfg.Cluster), func(stream string) error { return log.DeleteStream(ctx, a.js, stream) })
	if err != nil {
		a.log.Warn("streams of a deleted topic were left to the janitor", "topic", t.Name, "err", err)
	}
}

// Trouble words errors of the registry and the clock for clients.
func Trouble(err error) error {
	switch {
	case errors.Is(err, cluster.ErrUnknownTopic):
		return refuse(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refuse(kerr.RequestTimedOut, "The storage did not answer in time; the change may still happen.")
	case err == nil || IsRefusal(err):
		return err
	}
	return fmt.Errorf("change the cluster: %w", err)
}

// each runs f for all items, a few at a time, and joins the errors.
func each[T any](items []T, f func(T) error) error { return errors.Join(Map(items, f)...) }
