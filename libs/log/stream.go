package log

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recordOverhead is what a record has around it on the wire: the condition's NATS header, with room to spare.
const recordOverhead = 512

// The NATS servers' numbers for errors that mean something here.
const (
	codeWrongLastSequence         = 10071
	codeWrongLastSequenceConstant = 10164
	codeStreamNotFound            = 10059
	codeMessageNotFound           = 10037
)

// Subjects returns the two subjects of a log's stream and the one on which its feed appears (with a last token of the same names).
func Subjects(prefix, cluster, stream string) (messages, checkpoints, feed string) {
	base := prefix + "." + cluster + ".log." + stream
	return base + ".messages", base + ".checkpoints", prefix + "." + cluster + ".feed." + stream + ".*"
}

// StreamConfig is the stream of a log: both subjects, no limits (retention is the holder's business), direct reads, and a feed of
// headers by which followers learn of new records. Metadata should carry the log's true name.
func StreamConfig(prefix, cluster, stream string, replicas int, metadata map[string]string) jetstream.StreamConfig {
	messages, checkpoints, feed := Subjects(prefix, cluster, stream)
	return jetstream.StreamConfig{
		Name:        stream,
		Description: "kanal log",
		Subjects:    []string{messages, checkpoints},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Replicas:    max(1, replicas),
		AllowDirect: true,
		RePublish: &jetstream.RePublish{
			Source:      strings.TrimSuffix(messages, "messages") + "*",
			Destination: strings.TrimSuffix(feed, "*") + "{{wildcard(1)}}",
			HeadersOnly: true,
		},
		Metadata: metadata,
	}
}

// CreateStream creates a log's stream; one that exists already with the same configuration is fine.
func CreateStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		return fmt.Errorf("create stream %s: %w", cfg.Name, err)
	}
	return nil
}

// DeleteStream deletes a log's stream; one that is gone already is fine.
func DeleteStream(ctx context.Context, js jetstream.JetStream, stream string) error {
	if err := js.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w", stream, err)
	}
	return nil
}

// Stream is the Storage of a log in JetStream. It holds no resources but what Follow starts.
type Stream struct {
	nc                    *nats.Conn
	name, api             string
	messages, checkpoints string
	feed                  string
}

// NewStream names a log's stream; it does not look whether it exists.
func NewStream(js jetstream.JetStream, prefix, cluster, stream string) *Stream {
	s := &Stream{nc: js.Conn(), name: stream, api: apiPrefix(js.Options())}
	s.messages, s.checkpoints, s.feed = Subjects(prefix, cluster, stream)
	return s
}

// apiPrefix is the first part of JetStream's request subjects, with its dot.
func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

// MaxRecord follows from the connected server's max_payload.
func (s *Stream) MaxRecord() int { return int(s.nc.MaxPayload()) - recordOverhead }

// pubAck is the server's answer to a publish.
type pubAck struct {
	Sequence uint64              `json:"seq"`
	Error    *jetstream.APIError `json:"error"`
}

// Append publishes the record and waits for the answer. A late answer to a request that was given up is dropped by the client
// library; Log finds out by reading.
func (s *Stream) Append(ctx context.Context, checkpoint bool, record []byte, last uint64) error {
	m := &nats.Msg{Subject: s.messages, Data: record, Header: nats.Header{jetstream.ExpectedLastSeqHeader: {strconv.FormatUint(last, 10)}}}
	if checkpoint {
		m.Subject = s.checkpoints
	}
	answer, err := s.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	var ack pubAck
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return fmt.Errorf("read acknowledgement of %s: %w", m.Subject, err)
	}
	return ack.outcome(last)
}

func (a *pubAck) outcome(last uint64) error {
	switch {
	case a.Error == nil && a.Sequence == last+1:
		return nil
	case a.Error == nil:
		return fmt.Errorf("log: acknowledged at %d, not at %d", a.Sequence, last+1)
	case a.Error.ErrorCode == codeWrongLastSequence || a.Error.ErrorCode == codeWrongLastSequenceConstant:
		return ErrRefused
	}
	return fmt.Errorf("publish: %w", a.Error)
}

// Follow subscribes to the feed.
func (s *Stream) Follow(f func(sequence uint64)) (func(), error) {
	sub, err := s.nc.Subscribe(s.feed, func(m *nats.Msg) {
		if n, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64); err == nil {
			f(n)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", s.feed, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // fails only on a closed connection, where there is nothing to end
}

// Interruptions counts reconnects: what was published to the feed meanwhile is lost.
func (s *Stream) Interruptions() uint64 { return s.nc.Stats().Reconnects }

// Purge drops what is below a sequence.
func (s *Stream) Purge(ctx context.Context, below uint64) error {
	return s.call(ctx, "STREAM.PURGE.", map[string]any{"seq": below}, &struct{}{})
}

// ReadLeader asks the stream's leader for one record.
func (s *Stream) ReadLeader(ctx context.Context, sequence uint64) (Record, error) {
	var answer struct {
		Message struct {
			Sequence uint64    `json:"seq"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := s.call(ctx, "STREAM.MSG.GET.", map[string]any{"seq": sequence}, &answer); err != nil {
		return Record{}, err
	}
	m := &answer.Message
	return Record{Sequence: m.Sequence, Time: m.Time, Data: m.Data}, nil
}

// call makes a request to JetStream's API.
func (s *Stream) call(ctx context.Context, verb string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	m, err := s.nc.RequestWithContext(ctx, s.api+verb+s.name, body)
	if err != nil {
		return fmt.Errorf("%s%s: %w", verb, s.name, err)
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return fmt.Errorf("%s%s: %w", verb, s.name, err)
	}
	if failed.Error != nil {
		return fmt.Errorf("%s%s: %w", verb, s.name, meaning(failed.Error))
	}
	return json.Unmarshal(m.Data, response)
}

// meaning turns the errors that have a name here into that name.
func meaning(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case codeStreamNotFound:
		return ErrNoStream
	case codeMessageNotFound:
		return ErrNotFound
	}
	return e
}
