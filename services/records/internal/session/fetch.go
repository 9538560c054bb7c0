package session

import "github.com/twmb/franz-go/pkg/kmsg"

// Fetch is one request in the light of its session.
type Fetch struct {
	ID         int32       // of the session, 0 for none
	Partitions []Partition // what the request is about, in the order of the answer

	cache       *Cache
	epoch       int32 // of an incremental request
	incremental bool  // the answer has only what is new
	wants       bool  // a session
	byID        bool
}

// Answer notes what is answered, by place in Partitions, and drops what an incremental answer leaves out. A full one begins the
// session that the client asked for, if there is room: ID is what to answer.
func (f *Fetch) Answer(outs []kmsg.FetchResponseTopicPartition) (leave func(i int) bool) {
	if !f.incremental && !f.wants {
		return keepAll
	}
	c := f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[f.ID]
	if f.wants {
		s = c.create(f)
	}
	if s == nil { // no room, or ended meanwhile
		return keepAll
	}
	f.ID = s.id
	news := make([]bool, len(outs))
	for i := range outs {
		news[i] = s.told(f.Partitions[i].Key, &outs[i])
	}
	if !f.incremental {
		return keepAll
	}
	return func(i int) bool { return !news[i] }
}

// GiveBack ends a request without an answer: the same one will come again.
func (f *Fetch) GiveBack() {
	c := f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[f.ID]; s != nil && f.incremental && s.epoch == following(f.epoch) {
		s.epoch = f.epoch
	}
}

func keepAll(int) bool { return false }
