package topiclog

import (
	"container/list"
	"sync"
)

// Cache keeps messages of all logs of a process within a budget of bytes: the recent ones, first in first out, and a quarter for what
// was read from the stream, least recently used first out, so that one reader of the past does not push out what all others read.
type Cache struct {
	metrics *Metrics

	mu     sync.Mutex
	byKey  map[cacheKey]*list.Element // of either list
	recent cacheList
	read   cacheList
}

type cacheKey struct {
	log      uint64
	sequence uint64
}

type cacheList struct {
	list   list.List // of *cached, oldest in front
	bytes  int
	budget int
}

type cached struct {
	key     cacheKey
	message *Message
	list    *cacheList
}

// messageCost is what a message takes besides its body, about.
const messageCost = 256

func (c *cached) cost() int { return messageCost + len(c.message.Body) + len(c.message.Entries)*64 }

// NewCache makes a cache of so many bytes.
func NewCache(bytes int, metrics *Metrics) *Cache {
	return &Cache{metrics: metrics, byKey: map[cacheKey]*list.Element{}, recent: cacheList{budget: bytes - bytes/4}, read: cacheList{budget: bytes / 4}}
}

// get finds a message, nil if it is not there. Sought counts in the hit ratio.
func (c *Cache) get(log, sequence uint64) *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[cacheKey{log, sequence}]
	c.metrics.sought(e != nil)
	if e == nil {
		return nil
	}
	if m := e.Value.(*cached); m.list == &c.read {
		c.read.list.MoveToBack(e)
	}
	return e.Value.(*cached).message
}

// addRecent puts in a message that was just committed, addRead one that was read from the stream.
func (c *Cache) addRecent(log uint64, m *Message) { c.add(&c.recent, log, m) }
func (c *Cache) addRead(log uint64, m *Message)   { c.add(&c.read, log, m) }

func (c *Cache) add(l *cacheList, log uint64, m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := cacheKey{log, m.Sequence}
	if c.byKey[key] != nil {
		return
	}
	entry := &cached{key, m, l}
	c.byKey[key] = l.list.PushBack(entry)
	l.bytes += entry.cost()
	for l.bytes > l.budget {
		c.remove(l.list.Front())
	}
}

func (c *Cache) remove(e *list.Element) {
	entry := e.Value.(*cached)
	entry.list.list.Remove(e)
	entry.list.bytes -= entry.cost()
	delete(c.byKey, entry.key)
}

// drop forgets all messages of a log.
func (c *Cache) drop(log uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.byKey {
		if key.log == log {
			c.remove(e)
		}
	}
}
