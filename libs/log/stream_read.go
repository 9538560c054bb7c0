package log

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	readMessages = 4096            // most records of one batch direct get
	readPatience = 2 * time.Second // longest silence within one
	statusHeader = "Status"
	leftHeader   = "Nats-Num-Pending"
)

// directGet is the request of a direct get, single or batch.
type directGet struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// Read is one batch direct get. It is answered by any replica: one message per record, then an end marker that says how many are
// left. The server ignores flow control here, hence maxBytes, and a subscription of its own that dies with the call.
func (s *Stream) Read(ctx context.Context, first uint64, maxBytes int, f func(Record) error) (bool, error) {
	request, err := json.Marshal(directGet{Sequence: max(1, first), Batch: readMessages, MaxBytes: maxBytes})
	if err != nil {
		return false, err
	}
	inbox := s.nc.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", s.name, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil { // bounded by maxBytes and one record
		return false, fmt.Errorf("read %s: %w", s.name, err)
	}
	if err := s.nc.PublishRequest(s.api+"DIRECT.GET."+s.name, inbox, request); err != nil {
		return false, fmt.Errorf("read %s: %w", s.name, err)
	}
	more, err := s.readAnswers(ctx, sub, f)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("read %s from %d: %w", s.name, first, err)
	}
	return more, err
}

// readAnswers passes on what one batch direct get brings.
func (s *Stream) readAnswers(ctx context.Context, sub *nats.Subscription, f func(Record) error) (bool, error) {
	for {
		m, err := s.nextAnswer(ctx, sub)
		if err != nil {
			return false, err
		}
		switch m.Header.Get(statusHeader) {
		case "":
		case "204":
			left, err := strconv.ParseUint(m.Header.Get(leftHeader), 10, 64)
			return left > 0, err
		case "404":
			return false, nil
		case "503":
			return false, ErrNoStream
		default:
			return false, fmt.Errorf("status %s %s", m.Header.Get(statusHeader), m.Header.Get("Description"))
		}
		r, err := storedRecord(m)
		if err != nil {
			return false, err
		}
		if err := f(r); err != nil {
			return false, err
		}
	}
}

// nextAnswer waits for a message, but not for ever: the replica that answers may die in the middle.
func (s *Stream) nextAnswer(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	m, err := sub.NextMsgWithContext(wait)
	if errors.Is(err, nats.ErrNoResponders) {
		err = ErrNoStream
	}
	return m, err
}

// storedRecord turns an answer to a direct get into a Record.
func storedRecord(m *nats.Msg) (Record, error) {
	n, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("sequence of a stored record: %w", err)
	}
	t, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return Record{}, fmt.Errorf("time of a stored record: %w", err)
	}
	return Record{Sequence: n, Time: t, Data: m.Data}, nil
}

// LastCheckpoint is a direct get of the newest record on the checkpoints' subject.
func (s *Stream) LastCheckpoint(ctx context.Context) (Record, error) {
	request, err := json.Marshal(directGet{Last: s.checkpoints})
	if err != nil {
		return Record{}, err
	}
	m, err := s.nc.RequestWithContext(ctx, s.api+"DIRECT.GET."+s.name, request)
	if errors.Is(err, nats.ErrNoResponders) {
		err = ErrNoStream
	}
	if err != nil {
		return Record{}, fmt.Errorf("read checkpoint of %s: %w", s.name, err)
	}
	switch status := m.Header.Get(statusHeader); status {
	case "":
		return storedRecord(m)
	case "404":
		return Record{}, ErrNotFound
	default:
		return Record{}, fmt.Errorf("read checkpoint of %s: status %s", s.name, status)
	}
}
