package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/protocol"
)

// CreateTopic stores a topic whose streams exist already. The create decides
// who wins: ErrTopicExists for everyone else. The topic's Revision is set.
func (r *Registry) CreateTopic(ctx context.Context, t *Topic) error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("%w: topic %q: %w", ErrInvalidEntry, t.Name, err)
	}
	value, err := t.encode()
	if err != nil {
		return fmt.Errorf("encode topic %q: %w", t.Name, err)
	}
	t.Revision, err = r.kv.Create(ctx, topicKey(t.Name), value)
	if err == nil {
		return nil
	}
	return r.createOutcome(ctx, t, err)
}

// createOutcome finds out what became of a create that was not acknowledged. A
// refusal may be the answer to the second copy of a write whose first copy
// landed, and after a timeout nothing is known: what is stored decides.
func (r *Registry) createOutcome(ctx context.Context, t *Topic, cause error) error {
	stored, err := r.readTopic(ctx, t.Name)
	switch {
	case err == nil && stored.ID == t.ID:
		t.Revision = stored.Revision
		return nil
	case err == nil || isConflict(cause) || errors.Is(cause, jetstream.ErrKeyExists):
		return fmt.Errorf("%w: %q", ErrTopicExists, t.Name)
	}
	return fmt.Errorf("create topic %q: %w", t.Name, cause)
}

// UpdateTopic changes a topic: change gets a copy of the stored one and may
// refuse by returning an error, which is returned. It may be called several
// times when others change the topic at the same time.
func (r *Registry) UpdateTopic(ctx context.Context, name string, change func(*Topic) error) (*Topic, error) {
	for {
		t, err := r.readTopic(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := change(t); err != nil {
			return nil, err
		}
		if err := t.validate(); err != nil {
			return nil, fmt.Errorf("%w: topic %q: %w", ErrInvalidEntry, name, err)
		}
		value, err := t.encode()
		if err != nil {
			return nil, fmt.Errorf("encode topic %q: %w", name, err)
		}
		revision, err := r.kv.Update(ctx, topicKey(name), value, t.Revision)
		if err == nil {
			t.Revision = revision
			return t, nil
		}
		if !isConflict(err) {
			return nil, fmt.Errorf("update topic %q: %w", name, err)
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// DeleteTopic removes the entry of exactly this topic (by id: one of the same
// name that came after it stays). WaitGone tells when this registry knows.
func (r *Registry) DeleteTopic(ctx context.Context, name string, id [16]byte) error {
	for {
		t, err := r.readTopic(ctx, name)
		if err != nil {
			return err
		}
		if t.ID != id {
			return fmt.Errorf("%w: %q with id %s", ErrUnknownTopic, name, ID(id))
		}
		err = r.kv.Delete(ctx, topicKey(name), jetstream.LastRevision(t.Revision))
		if err == nil {
			return nil
		}
		if !isConflict(err) {
			return fmt.Errorf("delete topic %q: %w", name, err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// WaitGone returns when this registry no longer knows the topic of that id.
func (r *Registry) WaitGone(ctx context.Context, id [16]byte) error {
	return r.await(ctx, func(s *snapshot) bool { return s.byID[id] == nil })
}

// readTopic reads the stored entry, not the snapshot: conditions need the
// newest revision there is.
func (r *Registry) readTopic(ctx context.Context, name string) (*Topic, error) {
	e, err := r.kv.Get(ctx, topicKey(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read topic %q: %w", name, err)
	}
	return decodeTopic(e.Key(), e.Value(), e.Revision())
}

// TopicIDs asks the bucket itself which topics are stored. It is for who is
// about to destroy something: a snapshot may be behind.
func (r *Registry) TopicIDs(ctx context.Context) (map[[16]byte]bool, error) {
	w, err := r.kv.Watch(ctx, topicPrefix+">", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	defer w.Stop()
	ids := make(map[[16]byte]bool)
	for {
		select {
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return nil, errors.New("list topics: watch ended")
			case e == nil:
				return ids, nil
			}
			var entry topicEntry
			if err := json.Unmarshal(e.Value(), &entry); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, e.Key(), err)
			}
			ids[entry.ID] = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// SaveVersions stores what a service answers, if it differs from what is
// stored. Who may shrink it is the caller's knowledge.
func (r *Registry) SaveVersions(ctx context.Context, service string, ranges protocol.Ranges) error {
	if maps.Equal(r.Versions()[service], ranges) {
		return nil
	}
	value, err := json.Marshal(versionsEntry{Version: versionsVersion, Apis: ranges})
	if err != nil {
		return err
	}
	if _, err := r.kv.Put(ctx, versionPrefix+service, value); err != nil {
		return fmt.Errorf("save versions of %s: %w", service, err)
	}
	return nil
}
