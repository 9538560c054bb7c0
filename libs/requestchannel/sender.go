package requestchannel

import "sync"

// sender publishes large requests in parts on the second connection, away from
// the dispatcher, which a full socket would stop.
type sender struct {
	c     *Channel
	reply string
	jobs  chan largeRequest
	done  sync.WaitGroup
}

// largeRequest refers to a message too large to be pooled, so that it stays as
// it is while it is sent, whatever becomes of its request.
type largeRequest struct {
	subject  string
	envelope []byte
	frame    []byte
}

// senderQueue is how many large requests wait for the second connection before
// the dispatcher waits with them; windows keep it from ever being full.
const senderQueue = 4096

func (s *sender) start(c *Channel) {
	s.c, s.reply = c, c.cfg.LargeResponse(c.cfg.FrontEnd)
	s.jobs = make(chan largeRequest, senderQueue)
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

func (s *sender) send(subject string, message []byte, header int) {
	envelope := append([]byte(nil), message[:header]...)
	s.jobs <- largeRequest{subject, envelope, message[header:]}
}

// publish sends every part. One that NATS does not take is lost with the
// connection, whose reconnect dispatches the request again.
func (s *sender) publish(j largeRequest) {
	parts := partsOf(len(j.frame))
	b := make([]byte, 0, len(j.envelope)+min(PartSize, len(j.frame)))
	for i := range parts {
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
