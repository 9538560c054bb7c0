package socketserver_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

// shuffler is a request channel that answers in any order, in batches of any size, from several goroutines, with every
// kind of response, and that is full now and then. It checks that no connection has two requests in flight.
type shuffler struct {
	processors
	server *socketserver.Server

	mu       sync.Mutex
	chance   *rand.Rand
	waiting  []shuffled
	inFlight map[*socketserver.Connection]bool
	gone     map[string]bool // connections, by processor and token: whether they are gone, or only half
	refused  bool
	faults   []string
	outcomes map[socketserver.Outcome]int
	taken    int
}

type shuffled struct {
	conn     *socketserver.Connection
	response socketserver.Response
}

func (s *shuffler) Submit(r *socketserver.Request) (bool, network.CloseReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight[r.Conn] {
		s.faults = append(s.faults, fmt.Sprintf("%s has two requests in flight", r.Conn.ID))
	}
	if s.chance.IntN(10) == 0 {
		s.refused = true
		return false, network.ReasonNone
	}
	s.taken++
	s.inFlight[r.Conn] = true
	s.waiting = append(s.waiting, shuffled{r.Conn, s.respond(r)})
	return true, network.ReasonNone
}

// respond does what the request's first body byte says; the answer is its correlation id and as many bytes as it asks.
func (s *shuffler) respond(r *socketserver.Request) socketserver.Response {
	response := socketserver.Response{Token: r.Conn.Token, Completer: s}
	body := r.Frame[r.Header.Body:]
	switch body[0] {
	case 'n':
		response.Kind = socketserver.NoOp
	case 'c':
		response.Kind = socketserver.CloseConnection
	case 't':
		response.Throttle = time.Duration(s.chance.IntN(2000)) * time.Microsecond
		fallthrough
	default:
		response.Frame = answerFrame(r.Header.CorrelationID, make([]byte, binary.BigEndian.Uint32(body[1:])))
	}
	return response
}

func (s *shuffler) Flush(int) {}

func (s *shuffler) Disconnected(processor int, token uint64, half bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(processor, " ", token)
	if _, told := s.gone[key]; s.gone[key] || half && told {
		s.faults = append(s.faults, key+" is told again to be gone")
	}
	s.gone[key] = !half
}

func (s *shuffler) Completed(o socketserver.Outcome, _ int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[o]++
}

// answer is one of the goroutines that answer.
func (s *shuffler) answer(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		batches := s.pick()
		for processor, batch := range batches {
			s.processor(processor).Deliver(batch)
		}
		if len(batches) == 0 {
			time.Sleep(200 * time.Microsecond) // no wait for anything: it yields
		}
	}
}

func (s *shuffler) pick() map[int][]socketserver.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	batches := map[int][]socketserver.Response{}
	for range min(len(s.waiting), s.chance.IntN(24)) {
		i := s.chance.IntN(len(s.waiting))
		w := s.waiting[i]
		s.waiting = slices.Delete(s.waiting, i, i+1)
		delete(s.inFlight, w.conn)
		batches[w.conn.Processor] = append(batches[w.conn.Processor], w.response)
	}
	if s.refused && s.chance.IntN(3) == 0 {
		s.refused = false
		for _, p := range s.server.Processors() {
			p.Resume()
		}
	}
	return batches
}

// Whatever order handlers finish in, each connection sees the answers to its requests in the order of the requests, each
// once and whole. The dumb model: a list of correlation ids per client.
func TestAnswersComeInRequestOrder(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { shuffle(t, seed) })
	}
}

func newShuffler(seed uint64) *shuffler {
	return &shuffler{chance: rand.New(rand.NewPCG(seed, 0)), inFlight: map[*socketserver.Connection]bool{}, gone: map[string]bool{},
		outcomes: map[socketserver.Outcome]int{}}
}

func shuffle(t *testing.T, seed uint64) {
	s := newShuffler(seed)
	f := startWith(t, s, []socketserver.ListenerConfig{{Processors: 2}})
	s.server = f.server
	stop := make(chan struct{})
	var answering, clients sync.WaitGroup
	for range 3 {
		answering.Go(func() { s.answer(stop) })
	}
	for i := range uint64(24) {
		clients.Go(func() { pipeline(t, f.server.Addr("TEST", 0), rand.New(rand.NewPCG(seed, i+1))) })
	}
	clients.Wait()
	close(stop)
	answering.Wait()
	f.server.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fault := range s.faults {
		t.Error(fault)
	}
	told := 0
	for _, n := range s.outcomes {
		told += n
	}
	if told != s.taken-len(s.waiting) {
		t.Errorf("%d outcomes for %d answers: %v", told, s.taken-len(s.waiting), s.outcomes)
	}
}

// pipeline sends requests in pieces that have nothing to do with their borders, and reads the answers meanwhile. Every
// third client ends by reset or close in the middle.
func pipeline(t *testing.T, addr net.Addr, chance *rand.Rand) {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	var stream []byte
	var due []int32
	for i := range int32(150) {
		kind, size := "aaaaaaaaaannt"[chance.IntN(13)], 0
		if chance.IntN(2) == 0 {
			size = chance.IntN(1 << chance.IntN(18))
		}
		body := binary.BigEndian.AppendUint32([]byte{kind}, uint32(size))
		stream = append(stream, request(i, append(body, make([]byte, chance.IntN(1<<chance.IntN(15)))...)...)...)
		if kind != 'n' {
			due = append(due, i, int32(size))
		}
	}
	abandon := chance.IntN(3) == 0
	if abandon {
		stream = stream[:chance.IntN(len(stream))]
	}
	var reading sync.WaitGroup
	if !abandon {
		reading.Go(func() { expect(t, conn, due) })
	}
	for len(stream) > 0 {
		n := min(len(stream), 1+chance.IntN(1<<chance.IntN(17)))
		if _, err := conn.Write(stream[:n]); err != nil {
			t.Errorf("write: %v", err)
			break
		}
		stream = stream[n:]
	}
	reading.Wait()
	if abandon && chance.IntN(2) == 0 {
		conn.(*net.TCPConn).SetLinger(0)
	}
}

func expect(t *testing.T, conn net.Conn, due []int32) {
	conn.SetReadDeadline(time.Now().Add(6 * patience))
	var head [8]byte
	for len(due) > 0 {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Errorf("%d answers are missing: %v", len(due)/2, err)
			return
		}
		size, correlation := int32(binary.BigEndian.Uint32(head[:])), int32(binary.BigEndian.Uint32(head[4:]))
		if correlation != due[0] || size != 4+due[1] {
			t.Errorf("answer %d of %d bytes came, want %d of %d", correlation, size, due[0], 4+due[1])
			return
		}
		if _, err := io.CopyN(io.Discard, conn, int64(due[1])); err != nil {
			t.Error(err)
			return
		}
		due = due[2:]
	}
}
