// Package coordinator serves the groups of one coordination log. One goroutine
// owns them: it decides from memory, commits to the log, and answers when the
// commit stands (design section 7). Whoever believes that it holds a log may be
// wrong, so refusals rest on a confirmed tail of the log, and after another
// writer's message everything is derived from the log again. Its Kafka
// counterparts are GroupCoordinator with GroupMetadataManager and, in Kafka 4,
// the coordinator runtime with GroupCoordinatorShard.
package coordinator

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kanal/libs/log"
	"kanal/services/groups/internal/consumer"
	"kanal/services/groups/internal/group"
)

// Table is the coordination log: log.Table.
type Table interface {
	Submit(changes []log.Change, done func(error))
	Get(key string) []byte
	Range(f func(key string, value []byte) bool)
	OnForeign(f func())
	Done() <-chan struct{}
	Close()
}

// Config of a Coordinator.
type Config struct {
	Group    group.Settings
	Consumer consumer.Settings
	// Topics are the cluster's topics, for consumer groups.
	Topics consumer.Topics
	// Alive tells whether heartbeats can arrive: this instance is the holder
	// and NATS can be reached. While not, no session ends.
	Alive func() bool
	// TopicLives tells whether a topic with that name and id exists.
	TopicLives func(name string, id [16]byte) bool
	// CleanInterval is how often what nobody needs is removed (Kafka's
	// offsets.retention.check.interval.ms).
	CleanInterval time.Duration
	// Markers ends transactions at their partitions; nil: there are none.
	Markers Markers
	// TransactionRetention is how long a transactional id is known after its
	// last use (transactional.id.expiration.ms).
	TransactionRetention time.Duration
	// OffsetsRetention is how long offsets stay that no member reads
	// (offsets.retention.minutes).
	OffsetsRetention time.Duration
	Now              func() time.Time // nil: time.Now
	Metrics          *Metrics         // nil: none
	Log              *slog.Logger
}

// Coordinator owns the groups of one log. Its methods may be called from any
// goroutine.
type Coordinator struct {
	// immutable after New
	cfg   Config
	table Table
	inbox *mailbox
	stop  chan struct{}
	ended chan struct{} // closed when run has returned

	// marking ends the writing of markers when the coordinator ends.
	marking     context.Context
	stopMarking context.CancelFunc
	markers     sync.WaitGroup

	// owned by run
	transactions map[string]*transactional
	pending      pendingOffsets
	guards       map[*Guard]struct{}
	groups       map[string]*entry
	waiters      map[group.Ticket]*waiter
	tickets      group.Ticket
	alarms       alarms
	lastAlive    time.Time
	lastClean    time.Time
}

// New makes a coordinator of an opened table and starts it.
func New(cfg Config, table Table) *Coordinator {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Coordinator{
		cfg: cfg, table: table, inbox: newMailbox(), stop: make(chan struct{}), ended: make(chan struct{}),
		transactions: make(map[string]*transactional), pending: make(pendingOffsets), guards: make(map[*Guard]struct{}),
		groups: make(map[string]*entry), waiters: make(map[group.Ticket]*waiter),
	}
	c.lastAlive, c.lastClean = cfg.Now(), cfg.Now()
	c.marking, c.stopMarking = context.WithCancel(context.Background())
	table.OnForeign(c.foreign)
	c.load()
	go c.run()
	return c
}

// Done is closed when the coordinator has ended: closed, or its log broke.
func (c *Coordinator) Done() <-chan struct{} { return c.ended }

// Close answers everybody who waits with NOT_COORDINATOR and ends the table.
func (c *Coordinator) Close() {
	close(c.stop)
	<-c.ended
	c.table.Close()
	c.markers.Wait()
}

// run is the owner's loop.
func (c *Coordinator) run() {
	defer close(c.ended)
	defer c.stopMarking()
	defer c.end()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var work []func()
	for {
		timer.Reset(c.untilAlarm())
		select {
		case <-c.inbox.wake:
			work = c.inbox.take(work)
			for _, f := range work {
				f()
			}
		case <-timer.C:
			c.ring()
		case <-tick.C:
			c.watch()
		case <-c.table.Done():
			return
		case <-c.stop:
			return
		}
	}
}

// end tells everybody who still waits to look for another coordinator.
func (c *Coordinator) end() {
	for _, f := range c.inbox.close() {
		f() // what was asked before the end is answered by the expulsion below
	}
	for _, e := range c.groups {
		c.take(e, e.Expel(kerr.NotCoordinator))
	}
	c.cfg.Metrics.hold(-len(c.groups))
}

// foreign is called on the log's goroutine after another writer's message. It
// returns when the groups are what the log says: until then every submission
// ends with ErrConflict.
func (c *Coordinator) foreign() {
	reloaded := make(chan struct{})
	if !c.inbox.post(func() { c.reload(); close(reloaded) }) {
		return
	}
	select {
	case <-reloaded:
	case <-c.ended:
	}
}

// load derives all groups from the table.
func (c *Coordinator) load() {
	now, consumers := c.cfg.Now(), newRecords()
	c.table.Range(func(key string, value []byte) bool {
		c.loadOne(now, key, value, consumers)
		return true
	})
	c.loadConsumers(now, consumers)
	for _, e := range c.groups {
		c.setAlarm(e)
	}
	c.resumeMarkers()
	c.cfg.Metrics.hold(len(c.groups))
}

func (c *Coordinator) loadOne(now time.Time, key string, value []byte, consumers *records) {
	switch {
	case key == "":
	case key[0] == kindGroup:
		c.loadGroup(now, key[1:], value)
	case key[0] == kindConsumer, key[0] == kindMember:
		if err := consumers.add(key, value); err != nil {
			c.cfg.Log.Error("stored member was ignored", "key", key, "err", err)
		}
	case key[0] == kindOffset:
		id, p, err := parseOffsetKey(key)
		o, err2 := decodeOffset(value)
		if err != nil || err2 != nil {
			c.cfg.Log.Error("stored offset was ignored", "key", key, "err", err, "err2", err2)
			return
		}
		c.ensure(id).offsets[p] = o
	case key[0] == kindPending:
		c.loadPending(key, value)
	case key[0] == kindTransaction:
		c.loadTransaction(key[1:], value)
	}
}

// loadGroup takes a stored group over. One that cannot be read starts empty:
// its members will join again, and its offsets are kept apart from it.
func (c *Coordinator) loadGroup(now time.Time, id string, value []byte) {
	e := c.ensure(id)
	if e.raw != nil && bytes.Equal(e.raw, value) {
		return // kept over a reload
	}
	e.raw = value
	s, err := group.Decode(value)
	if err != nil {
		c.cfg.Log.Error("stored group was ignored", "group", id, "err", err)
		return
	}
	e.Group = group.Load(now, id, s, c.cfg.Group)
}

// reload brings the groups to what the log says. A group whose stored snapshot
// is still the one that its memory grew from keeps its memory. Consumer groups
// have nothing in memory but what is stored and when sessions end.
func (c *Coordinator) reload() {
	c.cfg.Metrics.reloaded()
	before := len(c.groups)
	c.forgetTransactions()
	for id, e := range c.groups {
		clear(e.offsets)
		if stored := c.table.Get(groupKey(id)); !bytes.Equal(stored, e.raw) || e.State() == group.Dead || e.consumer != nil {
			c.drop(id, kerr.NotCoordinator)
		}
	}
	c.cfg.Metrics.hold(-before)
	c.load()
}

// drop forgets a group's memory and answers who waits in it.
func (c *Coordinator) drop(id string, e *kerr.Error) {
	old := c.groups[id]
	delete(c.groups, id)
	c.take(old, old.Expel(e))
}

// restore brings one group back to what the log says of it.
func (c *Coordinator) restore(id string, e *kerr.Error) {
	old := c.groups[id]
	if old == nil {
		return
	}
	if old.consumer != nil {
		c.loadConsumerAgain(old)
		return
	}
	c.drop(id, e)
	fresh := c.ensure(id)
	fresh.offsets = old.offsets
	if stored := c.table.Get(groupKey(id)); stored != nil {
		c.loadGroup(c.cfg.Now(), id, stored)
	}
	c.setAlarm(fresh)
}

// ensure finds a group or makes an empty one.
func (c *Coordinator) ensure(id string) *entry {
	e := c.groups[id]
	if e == nil {
		e = &entry{Group: group.New(id, c.cfg.Group), offsets: make(map[Partition]Offset)}
		c.groups[id] = e
	}
	return e
}
