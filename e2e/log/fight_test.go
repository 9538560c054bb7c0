package log_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"kanal/libs/log"
)

// offsets is the smallest machine that gives numbers: each value gets the next offset, and the answer is that offset. It keeps what it
// applied, so that a test can look at it.
type offsets struct {
	mu      sync.Mutex
	values  []string // committed, by offset
	queue   []*value
	unsure  int // outcomes that nobody could tell
	waiting []*value
	built   []*value
	wake    func()
}

type value struct {
	text   string
	offset int // -1: nobody knows
	done   chan struct{}
}

var errDisorder = errors.New("offset does not follow")

func (o *offsets) Application() uint16 { return 77 }

func (o *offsets) Restore(checkpoint []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.values = nil
	return o.take(checkpoint)
}

func (o *offsets) Apply(m log.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(m.Body)
}

// take reads offset, length, text again and again.
func (o *offsets) take(b []byte) error {
	for len(b) > 0 {
		if offset := int(binary.BigEndian.Uint32(b)); offset != len(o.values) {
			return fmt.Errorf("%w: %d after %d", errDisorder, offset, len(o.values))
		}
		n := int(binary.BigEndian.Uint32(b[4:]))
		o.values = append(o.values, string(b[8:8+n]))
		b = b[8+n:]
	}
	return nil
}

func put(dst []byte, offset int, text string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(offset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}

func (o *offsets) Build(head, limit, _ int) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting, o.queue = append(o.waiting, o.queue...), nil
	if len(o.waiting) == 0 {
		return nil
	}
	record := make([]byte, head)
	for len(o.waiting) > 0 && len(record) < limit {
		v := o.waiting[0]
		o.waiting = o.waiting[1:]
		v.offset = len(o.values) + len(o.built)
		record = put(record, v.offset, v.text)
		o.built = append(o.built, v)
	}
	return record
}

func (o *offsets) Committed(time.Time) {
	for _, v := range o.built {
		close(v.done)
	}
	o.built = nil
}

func (o *offsets) Conflict(unknown bool) {
	again := o.built
	o.built = nil
	if unknown {
		for _, v := range again {
			v.offset = -1
			o.unsure++
			close(v.done)
		}
		again = nil
	}
	o.waiting = append(again, o.waiting...)
}

func (o *offsets) Checkpoint(dst []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, v := range o.values {
		dst = put(dst, i, v)
	}
	return dst
}

func (o *offsets) Needs() uint64 { return 1 << 62 }
func (o *offsets) Fail(error)    {}

func (o *offsets) append(text string) int {
	v := &value{text: text, done: make(chan struct{})}
	o.mu.Lock()
	o.queue = append(o.queue, v)
	o.mu.Unlock()
	o.wake()
	<-v.done
	return v.offset
}

// TestAppendersFight: many appenders on two logs that both believe to hold one stream of a real server, with answers lost and publishes late. Each
// acknowledged value stands at its offset, once; nothing stands there that nobody sent.
func TestAppendersFight(t *testing.T) {
	const appenders, rounds = 12, 120
	s := startServer(t)
	createStream(t, connect(t, s))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var late sync.WaitGroup
	open := func(w uint64, broken bool) *offsets {
		o := new(offsets)
		var st log.Storage = log.NewStream(connect(t, s), "kanal", "test", stream)
		if broken {
			st = &faulty{Storage: st, random: rand.New(rand.NewPCG(seed, w)), late: &late}
		}
		l, err := log.Open(within(t, 10*time.Second), log.Config{Name: stream, Storage: st, Machine: o, Log: discard,
			Silence: 50 * time.Millisecond, CheckpointMessages: 60, CheckpointBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		o.wake = l.Wake
		return o
	}
	writers := []*offsets{open(1, true), open(2, true)}
	var mu sync.Mutex
	acknowledged := map[int]string{}
	var all sync.WaitGroup
	for a := range appenders {
		random := rand.New(rand.NewPCG(seed, uint64(a)+10))
		all.Go(func() {
			for i := range rounds {
				text := fmt.Sprintf("appender %d value %d", a, i)
				offset := writers[random.IntN(2)].append(text)
				mu.Lock()
				if other, twice := acknowledged[offset]; twice && offset >= 0 {
					t.Errorf("offset %d was given to %q and to %q", offset, other, text)
				}
				acknowledged[offset] = text
				mu.Unlock()
			}
		})
	}
	all.Wait()
	late.Wait()
	delete(acknowledged, -1)
	end := open(3, false)
	seen := map[string]int{}
	for i, v := range end.values {
		if seen[v]++; seen[v] > 1 {
			t.Errorf("%q is there twice", v)
		}
		if want, ok := acknowledged[i]; ok && want != v {
			t.Errorf("offset %d holds %q, acknowledged was %q", i, v, want)
		}
	}
	unsure := writers[0].unsure + writers[1].unsure
	if len(end.values) < len(acknowledged) || len(end.values) > len(acknowledged)+unsure || len(acknowledged)+unsure != appenders*rounds {
		t.Errorf("%d stored, %d acknowledged, %d unknown", len(end.values), len(acknowledged), unsure)
	}
	t.Logf("%d acknowledged, %d unknown", len(acknowledged), unsure)
}
