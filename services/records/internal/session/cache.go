// Package session keeps fetch sessions (KIP-227): a consumer names its partitions once, and from then on only what changes, in
// requests and in answers. A session belongs to one client and the broker that it asks, and lives in the memory of one instance: where
// it is not known, the client begins a new one. Nothing here does I/O. Its Kafka counterparts are FetchSession, FetchSessionCache and
// the FetchContexts.
package session

import (
	"container/list"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Limits bound a cache. Above them the session that was idle longest goes if it was idle long enough; if not, there is no new one, and
// the client's requests stay full ones.
type Limits struct {
	Sessions   int           // max.incremental.fetch.session.cache.slots
	Partitions int           // of all sessions together
	Idle       time.Duration // min.incremental.fetch.session.eviction.ms
}

// Cache holds the sessions of an instance. Its methods may be called from any goroutine.
type Cache struct {
	limits Limits
	now    func() time.Time

	mu         sync.Mutex
	sessions   map[int32]*session
	used       list.List // of *session, the one that was idle longest in front
	partitions int       // of all
	evictions  int
}

// The epochs of a request with a meaning of their own.
const (
	initialEpoch = 0  // a full request that wants a session
	finalEpoch   = -1 // a full request that ends one
)

// NewCache makes an empty cache.
func NewCache(l Limits, now func() time.Time) *Cache {
	return &Cache{limits: l, now: now, sessions: map[int32]*session{}}
}

// Begin says which partitions a request is about. A code other than 0 is the whole answer.
func (c *Cache) Begin(q *kmsg.FetchRequest) (*Fetch, int16) {
	if q.SessionEpoch == initialEpoch || q.SessionEpoch == finalEpoch {
		if q.SessionID != 0 {
			c.End(q.SessionID)
		}
		return &Fetch{Partitions: asked(q), cache: c, wants: q.Version >= 7 && q.SessionEpoch == initialEpoch, byID: byID(q)}, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[q.SessionID]
	switch {
	case s == nil:
		return nil, kerr.FetchSessionIDNotFound.Code
	case s.byID != byID(q):
		return nil, kerr.FetchSessionTopicIDError.Code
	case s.epoch != q.SessionEpoch:
		return nil, kerr.InvalidFetchSessionEpoch.Code
	}
	c.partitions -= len(s.partitions)
	s.update(q)
	c.partitions += len(s.partitions)
	if len(s.partitions) == 0 {
		c.remove(s)
		return &Fetch{cache: c}, 0
	}
	s.epoch = following(s.epoch)
	c.touch(s)
	return &Fetch{ID: s.id, Partitions: s.list(), cache: c, incremental: true, epoch: q.SessionEpoch}, 0
}

func byID(q *kmsg.FetchRequest) bool { return q.Version >= 13 }

// following is the epoch of a session's next request: after the largest comes 1, since 0 begins a session.
func following(epoch int32) int32 {
	if epoch++; epoch < 1 {
		return 1
	}
	return epoch
}

// End forgets a session.
func (c *Cache) End(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		c.remove(s)
	}
}

func (c *Cache) remove(s *session) {
	delete(c.sessions, s.id)
	c.used.Remove(s.place)
	c.partitions -= len(s.partitions)
}

func (c *Cache) touch(s *session) {
	s.usedAt = c.now()
	c.used.MoveToBack(s.place)
}

// create makes a session of what a full request was about, nil if there is no room; mu is held.
func (c *Cache) create(f *Fetch) *session {
	n := len(f.Partitions)
	if n == 0 || n > c.limits.Partitions || !c.makeRoom(n) {
		return nil
	}
	s := newSession(f)
	for s.id == 0 || c.sessions[s.id] != nil {
		s.id = rand.Int32N(1<<31-1) + 1 // unlikely to be one of another instance's
	}
	c.sessions[s.id], s.place = s, c.used.PushBack(s)
	c.partitions += len(s.partitions)
	c.touch(s)
	return s
}

// makeRoom evicts sessions that were idle for long, as far as it must.
func (c *Cache) makeRoom(partitions int) bool {
	for len(c.sessions) >= c.limits.Sessions || c.partitions+partitions > c.limits.Partitions {
		front := c.used.Front()
		if front == nil || c.now().Sub(front.Value.(*session).usedAt) < c.limits.Idle {
			return false
		}
		c.remove(front.Value.(*session))
		c.evictions++
	}
	return true
}

// Counts are the sessions and their partitions now, and the sessions that were evicted ever.
func (c *Cache) Counts() (sessions, partitions, evictions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions), c.partitions, c.evictions
}
