package consumer

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/services/groups/internal/assignor"
)

// catalog is the cluster's topics, changed by tests.
type catalog struct {
	revision uint64
	topics   map[string]int32
	ids      map[string]assignor.TopicID
}

func newCatalog() *catalog {
	return &catalog{topics: map[string]int32{}, ids: map[string]assignor.TopicID{}}
}

func (c *catalog) set(name string, partitions int32) {
	c.revision++
	if c.topics[name] == 0 {
		c.ids[name] = assignor.TopicID{1: byte(c.revision), 2: byte(c.revision >> 8)} // made again it is another
	}
	if c.topics[name] = partitions; partitions == 0 {
		delete(c.topics, name)
	}
}

func (c *catalog) Revision() uint64 { return c.revision }

func (c *catalog) Topic(name string) (assignor.TopicID, int32, bool) {
	n, ok := c.topics[name]
	return c.ids[name], n, ok
}

func (c *catalog) Names() iter.Seq[string] {
	var names []string
	for name := range c.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Values(names)
}

// world is a group with its stored form, and clients that talk to it.
type world struct {
	t       testing.TB
	now     time.Time
	topics  *catalog
	g       *Group
	record  []byte
	members map[string][]byte
}

var settings = Settings{Session: 45 * time.Second, Assignors: []string{"uniform", "range"}}

func newWorld(t testing.TB, topics ...string) *world {
	w := &world{t: t, now: time.Unix(1_000_000, 0), topics: newCatalog(), members: map[string][]byte{}}
	for _, name := range topics {
		w.topics.set(name, 6)
	}
	w.g = New("g", settings)
	return w
}

// save stores what has changed, as the coordinator does.
func (w *world) save() {
	dirty := w.g.Take()
	if dirty.Group {
		w.record, _ = w.g.Record()
	}
	for id := range dirty.Members {
		value, err := w.g.MemberRecord(id)
		if err != nil {
			w.t.Fatal(err)
		}
		if w.members[id] = value; value == nil {
			delete(w.members, id)
		}
	}
}

// move is another holder that takes over.
func (w *world) move() {
	w.t.Helper()
	if w.record == nil {
		return
	}
	g, err := Load(w.now, "g", w.record, w.members, settings)
	if err != nil {
		w.t.Fatal(err)
	}
	w.g = g
}

func (w *world) heartbeat(q *Heartbeat) Answer {
	a := w.g.Heartbeat(w.now, q, w.topics)
	w.save()
	return a
}

func (w *world) tick(d time.Duration) {
	w.now = w.now.Add(d)
	w.g.Tick(w.now)
	w.save()
}

// client is a member as a client sees it.
type client struct {
	w        *world
	id       string
	instance *string
	topics   []string
	regex    *string
	assignor *string
	epoch    int32
	owned    assignor.Assignment // what it reads
	wanted   assignor.Assignment // what it was told to read
}

func (w *world) client(id string, topics ...string) *client {
	return &client{w: w, id: id, topics: topics}
}

// request is a full heartbeat; one without news while the client has yet to let
// something go.
func (c *client) request() *Heartbeat {
	q := &Heartbeat{MemberID: c.id, Epoch: c.epoch, InstanceID: c.instance, Rebalance: -1}
	if len(c.owned.Minus(c.wanted)) == 0 {
		q.Rebalance, q.Topics, q.Regex, q.Assignor = time.Minute, append([]string{}, c.topics...), c.regex, c.assignor
		q.Owned, q.HasOwned = c.owned, true
	}
	return q
}

// take is an answer that arrives.
func (c *client) take(a Answer) {
	switch a.Err {
	case nil:
		if c.epoch = a.Epoch; a.Assigned {
			c.owned, c.wanted = c.owned.Plus(a.Assignment), a.Assignment
		}
	case kerr.FencedMemberEpoch, kerr.UnknownMemberID:
		c.epoch, c.owned, c.wanted = JoinEpoch, nil, nil
	default:
		c.w.t.Fatalf("member %s was told %v: %s", c.id, a.Err, a.Message)
	}
}

// follow lets go what is no longer the client's.
func (c *client) follow() { c.owned = c.wanted }

// beat is a heartbeat whose answer arrives and is followed at once.
func (c *client) beat() Answer {
	a := c.w.heartbeat(c.request())
	c.take(a)
	c.follow()
	return a
}

// settle has all clients send heartbeats until the group is stable.
func (w *world) settle(clients ...*client) {
	w.t.Helper()
	for range 20 {
		for _, c := range clients {
			c.beat()
		}
		if w.g.State() == Stable {
			return
		}
	}
	w.t.Fatalf("not stable after 20 rounds: %s, %+v", w.g.State(), w.g.Describe())
}

// shares are how many partitions each client reads; an error if two read one.
func shares(clients ...*client) (out []int, err error) {
	owner := map[assignor.Partition]string{}
	for _, c := range clients {
		for _, p := range c.owned {
			if other, ok := owner[p]; ok {
				err = fmt.Errorf("%s and %s both read %v", other, c.id, p)
			}
			owner[p] = c.id
		}
		out = append(out, len(c.owned))
	}
	return out, err
}
