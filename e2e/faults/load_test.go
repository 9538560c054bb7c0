package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanal/e2e/process"
)

// load is many connections that each send bursts of numbered requests, and hold
// every answer to its number: none is lost, doubled or out of order, and no
// connection closes.
type load struct {
	conns []*conn
	stop  chan struct{}
	all   sync.WaitGroup

	mu  sync.Mutex
	err error // the first
}

// conn is one connection of a load.
type conn struct {
	net.Conn
	load     *load
	dialect  dialect
	number   int
	random   *rand.Rand    // of the writer
	burst    chan int      // how many requests the reader is to take next
	read     chan struct{} // the burst is answered
	answered atomic.Int64
}

// dialect is a protocol with numbered requests.
type dialect interface {
	// request is the n-th request of a connection, without size bytes.
	request(conn int, n uint64) []byte
	// check holds an answer to the n-th request of a connection.
	check(conn int, n uint64, answer []byte) error
}

// largest is how many requests a burst has at most.
const largest = 8

// startLoad connects and sends, until finish.
func startLoad(t *testing.T, seed uint64, conns int, addr string, d dialect) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	l.dial(t, seed, conns, addr, d)
	return l
}

// dial adds connections.
func (l *load) dial(t *testing.T, seed uint64, conns int, addr string, d dialect) {
	t.Helper()
	for range conns {
		raw, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		n := len(l.conns)
		c := &conn{
			Conn: raw, load: l, dialect: d, number: n, random: rand.New(rand.NewPCG(seed, uint64(n))),
			burst: make(chan int, 1), read: make(chan struct{}),
		}
		l.conns = append(l.conns, c)
		l.all.Go(c.write)
		l.all.Go(c.readAll)
	}
}

// write sends a burst, waits until it is answered, pauses, and so on; then it
// closes its half of the connection.
func (c *conn) write() {
	defer close(c.burst)
	for n := uint64(0); ; {
		count := 1 + c.random.IntN(largest)
		var b []byte
		for range count {
			request := c.dialect.request(c.number, n)
			b = binary.BigEndian.AppendUint32(b, uint32(len(request)))
			b = append(b, request...)
			n++
		}
		c.burst <- count
		if _, err := c.Write(b); err != nil {
			c.load.note(fmt.Errorf("connection %d: %w", c.number, err))
			return
		}
		<-c.read
		select {
		case <-c.load.stop:
			_ = c.Conn.(*net.TCPConn).CloseWrite() // the reader sees what comes of it
			return
		case <-time.After(time.Duration(20+c.random.IntN(130)) * time.Millisecond):
		}
	}
}

// readAll takes the answers of each burst, then the end: nothing else comes.
func (c *conn) readAll() {
	n := uint64(0)
	fail := func(err error) {
		c.load.note(fmt.Errorf("connection %d, request %d: %w", c.number, n, err))
		close(c.read)
		_ = c.Close() // the writer ends too
	}
	for count := range c.burst {
		for range count {
			answer, err := readFrame(c)
			if err == nil {
				err = c.dialect.check(c.number, n, answer)
			}
			if err != nil {
				fail(err)
				return
			}
			n++
			c.answered.Add(1)
		}
		c.read <- struct{}{}
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		c.load.note(fmt.Errorf("connection %d: %d bytes behind the last answer: %w", c.number, len(rest), err))
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func (l *load) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// answered is how many answers came, over all connections.
func (l *load) answered() (n int64) {
	for _, c := range l.conns {
		n += c.answered.Load()
	}
	return n
}

// advance waits until every connection has n more answers: nobody is stuck.
func (l *load) advance(t *testing.T, n int64, why string) {
	t.Helper()
	before := make([]int64, len(l.conns))
	for i, c := range l.conns {
		before[i] = c.answered.Load()
	}
	process.Poll(t, time.Minute, "every connection goes on "+why, func() error {
		if err := l.failed(); err != nil {
			return process.Hopeless(err)
		}
		for i, c := range l.conns {
			if c.answered.Load() < before[i]+n {
				return fmt.Errorf("connection %d went from %d to %d", i, before[i], c.answered.Load())
			}
		}
		return nil
	})
}

// finish stops sending, and waits for the last answers and the connections' end.
func (l *load) finish(t *testing.T) {
	t.Helper()
	close(l.stop)
	ended := make(chan struct{})
	go func() { l.all.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("connections did not end within a minute after their last answer")
	}
	if err := l.failed(); err != nil {
		t.Fatal(err)
	}
	if l.answered() == 0 {
		t.Fatal("nothing was asked")
	}
}

// frames is the dialect of echo: any bytes come back.
type frames struct{}

// sizes of frames; most are small, some travel on the second connection, some in
// parts.
var sizes = []int{16, 60, 17, 100, 300, 20, 4 << 10, 40, 90, 1 << 10, 25, 33, 200 << 10, 18, 64, 128, 80, 31, 600 << 10}

func (frames) request(conn int, n uint64) []byte {
	size := sizes[0]
	if n%7 == 0 {
		size = sizes[(uint64(conn)+n/7)%uint64(len(sizes))]
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, size), uint64(conn))
	b = binary.BigEndian.AppendUint64(b, n)
	return append(b, bytes.Repeat([]byte{byte(n)}, size-len(b))...)
}

func (f frames) check(conn int, n uint64, answer []byte) error {
	if want := f.request(conn, n); !bytes.Equal(answer, want) {
		return fmt.Errorf("%w: %x of %d bytes, not %x of %d", errOther, answer[:min(16, len(answer))], len(answer), want[:16], len(want))
	}
	return nil
}

// errOther reports an answer that is not the one to the request.
var errOther = errors.New("another answer")

// errFew reports that something has not happened often enough.
var errFew = errors.New("not yet")
