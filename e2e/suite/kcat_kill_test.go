package suite

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"kanal/e2e/process"
)

// watch follows the committed offsets of a group. They may never go back.
type watch struct {
	adm          *kadm.Client
	group, topic string

	mu  sync.Mutex
	max map[int]int64
	err error
}

func (w *watch) look(t *testing.T) {
	offsets, err := w.adm.FetchOffsets(t.Context(), w.group)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		return // the client is closed, or could not ask: seen again in the end
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		if p := int(o.Partition); o.At < w.max[p] && w.err == nil {
			w.err = fmt.Errorf("partition %d went from %d to %d", p, w.max[p], o.At)
		} else {
			w.max[p] = max(w.max[p], o.At)
		}
	})
}

// seen is what was committed so far, which nobody who comes now may read again.
func (w *watch) seen(t *testing.T) map[int]int64 {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		t.Fatal(w.err)
	}
	out := make(map[int]int64)
	for p, o := range w.max {
		out[p] = o
	}
	return out
}

// TestKcatMembersKilled kills and restarts the three members of a group at
// random. Every record is seen, committed offsets never go back, and whoever
// starts reads nothing that was committed before.
func TestKcatMembersKilled(t *testing.T) {
	process.Need(t, "kcat")
	n := seed(t)
	r := rand.New(rand.NewPCG(n, 0))
	s := process.StartStandalone(t, process.Env{"KANAL_GROUPS_MIN_SESSION_TIMEOUT": "500ms"})
	on := target{s.Bootstrap, 1, s.Process}
	const partitions, members = 6, 3
	topic, group := newTopic(t, on, partitions), newName(t)
	w := &watch{adm: kadm.NewClient(newClient(t, on)), group: group, topic: topic, max: make(map[int]int64)}
	type life struct {
		*member
		from map[int]int64
	}
	var lives []life
	start := func() *member {
		w.look(t)
		from := w.seen(t)
		m := startMember(t, on, group, topic, "-X", "session.timeout.ms=1500", "-X", "heartbeat.interval.ms=200", "-X", "auto.commit.interval.ms=100")
		lives = append(lives, life{m, from})
		return m
	}
	var live [members]*member
	for i := range live {
		live[i] = start()
	}
	rounds := pick(8, 150)
	for round := range rounds {
		produceNumbers(t, on, topic, round*200, (round+1)*200)
		if round%3 == 2 { // let the group get somewhere
			before := w.seen(t)
			process.Poll(t, time.Minute, "the group commits", func() error {
				if w.look(t); fmt.Sprint(w.seen(t)) == fmt.Sprint(before) {
					return fmt.Errorf("still at %v", before)
				}
				return nil
			})
		}
		i := r.IntN(members)
		live[i].kill(t)
		wait(t, time.Duration(r.IntN(700))*time.Millisecond)
		live[i] = start()
	}
	process.Poll(t, 2*time.Minute, "all records are seen and committed", func() error {
		w.look(t)
		var all []line
		for _, l := range lives {
			all = append(all, l.lines(t)...)
		}
		sum := int64(0)
		for _, o := range w.seen(t) {
			sum += o
		}
		if sum < int64(rounds*200) {
			return fmt.Errorf("%d of %d are committed", sum, rounds*200)
		}
		return missing(all, 0, rounds*200)
	})
	for i, l := range lives {
		for _, line := range l.lines(t) {
			if from := l.from[line.partition]; line.offset < from {
				t.Fatalf("member %d read offset %d of partition %d again: %d was committed before it started", i, line.offset, line.partition, from)
			}
		}
	}
	s.Stop(t)
}
