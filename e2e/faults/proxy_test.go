package faults

import (
	"net"
	"sync"
	"testing"
)

// proxy stands between a process and NATS, to cut them apart.
type proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	open    chan struct{} // closed while bytes are forwarded
	refuses bool
	conns   map[net.Conn]bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.open)
	go p.accept()
	t.Cleanup(func() {
		_ = l.Close()
		p.drop()
		p.heal()
	})
	return p
}

// url is where the process finds NATS.
func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil || !p.admit(c, to) {
			_ = c.Close()
			if err == nil {
				_ = to.Close()
			}
			continue
		}
		go p.forward(c, to)
		go p.forward(to, c)
	}
}

// admit keeps connections for drop; false: it refuses new ones.
func (p *proxy) admit(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if !p.refuses {
			p.conns[c] = true
		}
	}
	return !p.refuses
}

// forward copies until an end closes, and then closes both.
func (p *proxy) forward(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		<-open
		if _, err2 := to.Write(b[:n]); err != nil || err2 != nil {
			p.mu.Lock()
			delete(p.conns, from)
			p.mu.Unlock()
			return
		}
	}
}

// stall forwards nothing any more; nobody is told.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// drop closes all connections and takes no new ones.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = true
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// heal forwards everything again, what was held back too.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}
