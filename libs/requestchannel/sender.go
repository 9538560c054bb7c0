package requestchannel

import (
	"sync"
	"sync/atomic"
)

// sender publishes large requests in parts on the second connection, away from
// the dispatcher, which a full socket would stop.
type sender struct {
	c     *Channel
	reply string
	jobs  chan *largeRequest
	done  sync.WaitGroup
}

// largeRequest refers to a message too large to be pooled, so that it stays as
// it is while it is sent, whatever becomes of its request.
type largeRequest struct {
	subject  string
	envelope []byte
	frame    []byte
	dropped  atomic.Bool
}

// drop tells that nobody waits for it any more: what has not been sent is not,
// so that its memory is free soon.
func (l *largeRequest) drop() {
	if l != nil {
		l.dropped.Store(true)
	}
}

// senderQueue is how many large requests wait for the second connection; the
// others wait in their queues.
const senderQueue = 64

func (s *sender) start(c *Channel) {
	s.c, s.reply = c, c.cfg.LargeResponse(c.cfg.FrontEnd)
	s.jobs = make(chan *largeRequest, senderQueue)
	s.done.Go(func() {
		for j := range s.jobs {
			s.publish(j)
		}
	})
}

func (s *sender) stop() {
	close(s.jobs)
	s.done.Wait()
}

// takes tells whether there is room for p now.
func (s *sender) takes(p *Pending) bool { return p.size <= LargeFrame || len(s.jobs) < cap(s.jobs) }

// send queues a large request. Only the dispatcher calls it, after takes: it
// does not block.
func (s *sender) send(subject string, message []byte, header int) *largeRequest {
	job := &largeRequest{subject: subject, envelope: append([]byte(nil), message[:header]...), frame: message[header:]}
	s.jobs <- job
	return job
}

// publish sends every part. One that NATS does not take is lost with the
// connection, whose reconnect dispatches the request again.
func (s *sender) publish(j *largeRequest) {
	parts := partsOf(len(j.frame))
	b := make([]byte, 0, len(j.envelope)+min(PartSize, len(j.frame)))
	for i := range parts {
		if j.dropped.Load() {
			return
		}
		b = append(b[:0], j.envelope...)
		putPart(b, i, parts, uint32(len(j.frame)))
		b = append(b, partOf(j.frame, i)...)
		if err := s.c.large.PublishRequest(j.subject, s.reply, b); err != nil {
			s.c.log.Warn("lost a part of a large request; it is dispatched again", "err", err)
			s.c.inbox.put(func(in *inbox) { in.reconnected = true })
			return
		}
	}
}
