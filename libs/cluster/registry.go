package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/protocol"
)

// Registry follows a cluster's bucket and changes it. All methods are safe for
// any goroutine.
type Registry struct {
	// immutable after Open
	cfg    Config
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{} // closed when follow has ended

	now atomic.Pointer[snapshot]

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each new snapshot
	watchers []func()

	producers producerIDs
}

// Open connects a registry to its cluster: it makes bucket and cluster entry
// if they are missing (any service may be first) and returns once the values
// that are stored now are known. ctx limits only that.
func Open(ctx context.Context, js jetstream.JetStream, cfg Config, log *slog.Logger) (*Registry, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	r := &Registry{cfg: cfg, js: js, log: log, done: make(chan struct{}), changed: make(chan struct{})}
	r.now.Store(&snapshot{})
	var err error
	if r.kv, err = r.openBucket(ctx); err != nil {
		return nil, err
	}
	if err := r.ensureInfo(ctx); err != nil {
		return nil, err
	}
	following, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.follow(following)
	if err := r.await(ctx, func(s *snapshot) bool { return s.info.Brokers > 0 }); err != nil {
		r.Close()
		return nil, fmt.Errorf("follow bucket %s: %w", r.kv.Bucket(), err)
	}
	return r, nil
}

// answerTimeout is how long one request of openBucket waits for its answer.
const answerTimeout = 2 * time.Second

// openBucket finds the bucket or makes it, and asks again where no answer comes:
// NATS delivers at most once, and a server that has just started loses answers.
// The account's first request makes the subject of all answers and only then
// subscribes to it (Account.newServiceReply); what is answered in between, to
// whoever, is gone. Seen with four services that start at once.
func (r *Registry) openBucket(ctx context.Context) (jetstream.KeyValue, error) {
	name := BucketName(r.cfg.Cluster)
	for {
		attempt, cancel := context.WithTimeout(ctx, answerTimeout)
		kv, err := r.findBucket(attempt, name)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			r.log.Warn("NATS did not answer; asked again", "bucket", name, "waited", answerTimeout)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", name, err)
		}
		return kv, nil
	}
}

// findBucket finds the bucket or makes it. Several processes may do so at once:
// who comes second finds what the first one made.
func (r *Registry) findBucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	kv, err := r.js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = r.createBucket(ctx, name)
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = r.js.KeyValue(ctx, name)
		}
	}
	return kv, err
}

// notClustered is what a NATS server that stands alone says to replicas.
const notClustered jetstream.ErrorCode = 10074

func (r *Registry) createBucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	cfg := jetstream.KeyValueConfig{
		Bucket: name, Description: "kanal: metadata of cluster " + r.cfg.Cluster,
		History: 1, Storage: jetstream.FileStorage, Replicas: r.cfg.Replicas,
	}
	kv, err := r.js.CreateKeyValue(ctx, cfg)
	var api *jetstream.APIError
	if cfg.Replicas > 1 && errors.As(err, &api) && api.ErrorCode == notClustered {
		r.log.Warn("metadata has one replica: the NATS server is not part of a cluster", "asked", cfg.Replicas)
		cfg.Replicas = 1
		return r.js.CreateKeyValue(ctx, cfg)
	}
	return kv, err
}

// Close ends following; snapshots that were handed out stay valid.
func (r *Registry) Close() {
	r.cancel()
	<-r.done
}

// Info is what the cluster is now.
func (r *Registry) Info() Info { return r.now.Load().info }

// Cluster is the configured name of the cluster.
func (r *Registry) Cluster() string { return r.cfg.Cluster }

// Topic finds a topic by name; nil when there is none.
func (r *Registry) Topic(name string) *Topic { return r.now.Load().topics[name] }

// TopicByID finds a topic by id; nil when there is none.
func (r *Registry) TopicByID(id [16]byte) *Topic { return r.now.Load().byID[id] }

// Topics lists all topics by name. The slice is shared and must not be changed.
func (r *Registry) Topics() []*Topic { return r.now.Load().sorted }

// Colliding finds a topic whose name differs from this one by '.' and '_'
// alone; nil when there is none.
func (r *Registry) Colliding(name string) *Topic {
	s := r.now.Load()
	for _, other := range s.unified[unifyName(name)] {
		if other != name {
			return s.topics[other]
		}
	}
	return nil
}

// Versions are the api versions that each service has announced and somebody
// saved, by service name. The maps are shared and must not be changed.
func (r *Registry) Versions() map[string]protocol.Ranges { return r.now.Load().versions }

// Leader is the broker that leads log index of a topic (design section 6).
func (r *Registry) Leader(name string, index int32) int32 {
	return leader(name, index, r.Info().Brokers)
}

// CoordinationLeader is the broker that leads a coordination log and so
// coordinates every group in it. The logs go round the brokers evenly, which
// hashing each stream's own name would not give for so few.
func (r *Registry) CoordinationLeader(index int32) int32 {
	return leader("coordination", index, r.Info().Brokers)
}

// Revision is that of the newest change that this registry has seen.
func (r *Registry) Revision() uint64 { return r.now.Load().revision }

// OnChange has f called after each change that this registry has seen, on the
// registry's goroutine: f must not block.
func (r *Registry) OnChange(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, f)
}

// Wait returns when this registry has seen the given revision of the bucket.
func (r *Registry) Wait(ctx context.Context, revision uint64) error {
	return r.await(ctx, func(s *snapshot) bool { return s.revision >= revision })
}

// CatchUp returns when this registry has seen everything that was stored before
// the call. It asks NATS, so it is for what is rarely needed: before a refusal
// that would be wrong if a change of another process were still on its way.
func (r *Registry) CatchUp(ctx context.Context) error {
	last, err := r.lastRevision(ctx)
	if err != nil {
		return err
	}
	return r.Wait(ctx, last)
}

func (r *Registry) await(ctx context.Context, enough func(*snapshot) bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if enough(r.now.Load()) {
			return nil
		}
		select {
		case <-changed:
		case <-r.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish makes s the current snapshot and tells who waits for one.
func (r *Registry) publish(s *snapshot) {
	r.now.Store(s)
	r.mu.Lock()
	close(r.changed)
	r.changed = make(chan struct{})
	watchers := r.watchers
	r.mu.Unlock()
	for _, f := range watchers {
		f()
	}
}

// isConflict tells whether a conditional write was refused because somebody
// else had written: the server says so in two ways, one of them for replicated
// streams.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// pause is the wait of a loser before his next round. A read may come from a
// replica that is behind, so that a round at once could lose again and again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Millisecond + rand.N(20*time.Millisecond)):
		return nil
	}
}
