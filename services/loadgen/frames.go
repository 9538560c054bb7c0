package loadgen

import (
	"bytes"
	"math/rand/v2"
)

// spread is how many different frames there are. Each is another window on the
// same noise, so that no frame is ever copied, and an answer that belongs to
// another request or connection is noticed from a few bytes on.
const spread = 64 << 10

// echo sends noise and wants it back.
type echo struct {
	noise []byte // size+spread bytes, shared by all connections
	size  int
	at    int
}

func (p *plan) frames(cfg Config) error {
	noise := noise(cfg.Size + spread)
	p.limit = cfg.Size
	p.exchange = func(connection int) exchange {
		return &echo{noise, cfg.Size, connection * 7919 % spread} // a prime, so that neighbours start far apart
	}
	return nil
}

func (e *echo) next([]byte) []byte {
	e.at = (e.at + 1) % spread
	return e.noise[e.at : e.at+e.size : e.at+e.size]
}

func (e *echo) judge(request, answer []byte) error {
	if !bytes.Equal(request, answer) {
		return errDiffers
	}
	return nil
}

// noise is n bytes that do not compress, the same in every run.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}
