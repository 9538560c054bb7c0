package requestchannel

import (
	"strings"
	"sync"
)

// buffers recycles the memory of outgoing messages: NATS has copied them when
// Publish returns.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// maxPooled keeps rare giants out of the pool, in bytes.
const maxPooled = 1 << 20

func release(p *[]byte, b []byte) {
	if cap(b) <= maxPooled {
		*p = b[:0]
		buffers.Put(p)
	}
}

// publish sends an answer without a frame.
func (s *Server) publish(in *Incoming, r *Response) {
	s.publishFrame(in, r, func(b []byte) []byte { return b })
}

// publishFrame sends an answer whose frame is appended by frame.
func (s *Server) publishFrame(in *Incoming, r *Response, frame func([]byte) []byte) {
	r.ID, r.Token, r.Attempt, r.Part, r.Parts = in.ID, in.Token, in.Attempt, 0, 1
	p := buffers.Get().(*[]byte)
	b := AppendResponse((*p)[:0], r)
	header := len(b)
	b = frame(b)
	size := len(b) - header
	r.Total = uint32(size)
	putResponsePart(b, 0, partsOf(size), r.Total)
	if size <= LargeFrame {
		s.sent(s.nc.Publish(in.reply, b), in)
	} else {
		s.publishParts(in, b[:header], b[header:])
	}
	release(p, b)
}

// publishParts sends a large frame on the second connection, in parts.
func (s *Server) publishParts(in *Incoming, envelope, frame []byte) {
	subject := s.cfg.LargeResponse(in.FrontEnd)
	p := buffers.Get().(*[]byte)
	b := *p
	for i := range partsOf(len(frame)) {
		b = append(b[:0], envelope...)
		putResponsePart(b, i, partsOf(len(frame)), uint32(len(frame)))
		b = append(b, partOf(frame, i)...)
		s.sent(s.large.Publish(subject, b), in)
	}
	release(p, b)
}

// sent handles a publish that failed: NATS is away, and the front end will
// dispatch the request again, because its answer cannot arrive.
func (s *Server) sent(err error, in *Incoming) {
	if err != nil {
		s.cfg.Metrics.unsent()
		s.log.Warn("lost an answer: publish failed, the front end asks again", "frontend", in.FrontEnd, "api", in.APIKey, "err", err)
	}
}

// frontEndOf is the front end's id in a response subject of its.
func frontEndOf(reply string, subjects Subjects) string {
	rest, ok := strings.CutPrefix(reply, subjects.base()+"response.")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, ".")
	return id
}
