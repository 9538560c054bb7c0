package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// wire is a transport whose bytes arrive and leave in pieces as the test says.
type wire struct {
	in     []byte
	pieces []int // sizes of the reads; 0: nothing now; when used up: all that is left
	out    []byte
	takes  []int // sizes of the writes, likewise; 0: full
	closed bool
}

func (w *wire) Read(p []byte) (int, bool, error) {
	n := len(w.in)
	if len(w.pieces) > 0 {
		n = min(n, w.pieces[0])
		if w.pieces = w.pieces[1:]; n == 0 && len(w.in) > 0 {
			return 0, false, nil
		}
	}
	if len(w.in) == 0 {
		return 0, false, io.EOF
	}
	n = copy(p, w.in[:n])
	w.in = w.in[n:]
	return n, n == len(p), nil
}

func (w *wire) Write(p []byte) (int, error) {
	n := len(p)
	if len(w.takes) > 0 {
		n, w.takes = min(n, w.takes[0]), w.takes[1:]
	}
	w.out = append(w.out, p[:n]...)
	return n, nil
}

func (w *wire) Handshake() (bool, error) { return true, nil }

func (w *wire) HasPendingWrites() bool { return false }

func (w *wire) Close() error { w.closed = true; return nil }

func newSelector(t testing.TB, cfg Config) *Selector {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if s.mem.held != 0 {
			t.Errorf("%d bytes of buffers were not given back", s.mem.held)
		}
	})
	return s
}

// attach registers a wire. Its descriptor only stands for one; arrive says that bytes are there.
func attach(t testing.TB, s *Selector, w *wire) *Channel {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	c, err := s.Register(fd, Layers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.transport = w
	return c
}

func arrive(s *Selector, c *Channel) {
	c.readable = true
	s.resume(c)
}

func frames(payloads ...string) []byte {
	var b []byte
	for _, p := range payloads {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// heard is what came out of a connection: frames, then how it ended.
type heard struct {
	frames []string
	end    CloseReason
}

// dumb is the model: the bytes all at once, one frame after the other.
func dumb(b []byte, limit int) heard {
	var h heard
	for {
		if len(b) < 4 {
			h.end = ReasonPeerClosed
			return h
		}
		size := int(int32(binary.BigEndian.Uint32(b)))
		switch {
		case size < 0 || size > limit:
			h.end = ReasonInvalidSize
			return h
		case len(b) < 4+size:
			h.end = ReasonPeerClosed
			return h
		}
		h.frames = append(h.frames, string(b[4:4+size]))
		b = b[4+size:]
	}
}

// hear plays a connection to its end: each frame is muted for and answered at some later time, now and then parked.
func hear(t testing.TB, s *Selector, w *wire, chance *rand.Rand) heard {
	t.Helper()
	c := attach(t, s, w)
	var h heard
	parked := false
	for passes := 0; ; passes++ {
		if passes > 1_000_000 {
			t.Fatal("the connection never ends")
		}
		arrive(s, c)
		if err := s.Poll(0); err != nil {
			t.Fatal(err)
		}
		if parked && chance.IntN(2) == 0 {
			h.frames = append(h.frames, string(s.Next(c)))
			if parked = chance.IntN(3) == 0; parked {
				h.frames = h.frames[:len(h.frames)-1]
				s.Park(c)
			}
		}
		for _, r := range s.Receives() {
			if c.state != NotMuted {
				t.Fatal("a muted channel was served")
			}
			c.Mute()
			if parked = chance.IntN(4) == 0; parked {
				s.Park(c)
			} else {
				h.frames = append(h.frames, string(r.Frame))
			}
		}
		for _, gone := range s.Disconnected() {
			h.end = gone.Reason
			return h
		}
		if !parked && chance.IntN(3) > 0 {
			s.MaybeUnmute(c)
		}
	}
}

// The answer must not depend on how bytes arrive (I2), nor on when the channel is muted or parked.
func FuzzReceive(f *testing.F) {
	f.Add(frames("", "a", "hello"), uint64(1), []byte{1, 0, 2})
	f.Add(append(frames("x"), 0xff, 0xff, 0xff, 0xff), uint64(2), []byte{})
	f.Add(append(frames("whole"), 0, 0, 0, 9, 'h', 'a', 'l', 'f'), uint64(3), []byte{5, 5, 5})
	f.Add(frames(string(make([]byte, 5000)), "b"), uint64(4), []byte{255, 255})
	f.Add(frames(string(make([]byte, 70000)), string(make([]byte, 200000)), "c"), uint64(5), []byte{9, 0, 0, 200})
	f.Add([]byte{0x00, 0x03, 0x0d, 0x41}, uint64(6), []byte{1, 1, 1, 1}) // limit + 1
	f.Add([]byte{0x00, 0x03}, uint64(7), []byte{1, 1, 1, 1})
	s, err := New(Config{MaxReceiveSize: 200_000})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, cuts []byte) {
		want := dumb(stream, 200_000)
		chance := rand.New(rand.NewPCG(seed, 0))
		got := hear(t, s, &wire{in: stream, pieces: pieces(cuts, chance)}, chance)
		if !slices.Equal(got.frames, want.frames) || got.end != want.end {
			t.Fatalf("heard %d frames and %v, want %d and %v", len(got.frames), got.end, len(want.frames), want.end)
		}
		if s.mem.held != 0 {
			t.Fatalf("%d bytes of buffers were not given back", s.mem.held)
		}
	})
}

// pieces makes read sizes of the cuts, each scaled so that small and large ones occur.
func pieces(cuts []byte, chance *rand.Rand) []int {
	out := make([]int, len(cuts))
	for i, c := range cuts {
		out[i] = int(c) << chance.IntN(11)
	}
	return out
}

// Rows F4, I1, I2: the same as the fuzz test with larger streams, in the ordinary test run.
func TestReceiveDoesNotDependOnArrival(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1 << 20})
	for seed := range uint64(100) {
		chance := rand.New(rand.NewPCG(seed, 1))
		var payloads []string
		for range chance.IntN(30) {
			payloads = append(payloads, string(noise(chance, 1<<chance.IntN(19))))
		}
		stream := frames(payloads...)
		stream = stream[:len(stream)-chance.IntN(len(stream)/2+1)*chance.IntN(2)]
		var sizes []int
		for range chance.IntN(400) {
			sizes = append(sizes, chance.IntN(1<<chance.IntN(18)))
		}
		want := dumb(stream, 1<<20)
		got := hear(t, s, &wire{in: slices.Clone(stream), pieces: sizes}, chance)
		if !slices.Equal(got.frames, want.frames) || got.end != want.end {
			t.Fatalf("seed %d: heard %d frames and %v, want %d and %v", seed, len(got.frames), got.end, len(want.frames), want.end)
		}
	}
}

func noise(chance *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range (n + 7) / 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], chance.Uint64())
		copy(b[8*i:], word[:])
	}
	return b
}

// Row I3.
func TestSizes(t *testing.T) {
	const limit = 100
	for _, test := range []struct {
		name string
		size int32
		ok   bool
	}{
		{"none", 0, true}, {"one", 1, true}, {"the limit", limit, true}, // I3
		{"above the limit", limit + 1, false}, {"the largest", 1<<31 - 1, false},
		{"negative", -1, false}, {"the smallest", -1 << 31, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := binary.BigEndian.AppendUint32(nil, uint32(test.size))
			if test.ok {
				b = append(b, make([]byte, test.size)...)
			}
			r := receive{data: b}
			complete := r.complete(limit)
			frame, err := r.next(limit)
			if test.ok && (err != nil || len(frame) != int(test.size) || frame == nil) {
				t.Fatalf("frame %v, err %v", frame, err)
			}
			if !test.ok && (!errors.Is(err, ErrInvalidReceive) || frame != nil) {
				t.Fatalf("frame %v, err %v", frame, err)
			}
			if !complete {
				t.Fatal("not complete")
			}
		})
	}
}

// A size is refused before a body byte is read or a buffer taken (I3), and names TLS where it is TLS.
func TestInvalidSizeCloses(t *testing.T) {
	for _, test := range []struct {
		name   string
		stream []byte
		want   CloseReason
	}{
		{"too large", []byte{0, 0, 1, 1}, ReasonInvalidSize},
		{"negative", []byte{0x80, 0, 0, 0}, ReasonInvalidSize},
		{"garbage", []byte("GET / HTTP/1.1\r\n\r\n"), ReasonInvalidSize},
		{"TLS ClientHello", []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01}, ReasonInvalidSize}, // wire is no plaintext
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSelector(t, Config{MaxReceiveSize: 256})
			w := &wire{in: test.stream, pieces: []int{4}}
			c := attach(t, s, w)
			arrive(s, c)
			s.Poll(0)
			gone := s.Disconnected()
			if len(gone) != 1 || gone[0].Reason != test.want || !errors.Is(gone[0].Err, ErrInvalidReceive) || !w.closed {
				t.Fatalf("gone %+v", gone)
			}
			if len(w.in) != len(test.stream)-4 {
				t.Error("the body was read")
			}
			if s.Channel(c.Token()) != nil || s.Open() != 0 {
				t.Error("the channel is still there")
			}
		})
	}
}

// A peer that announces much and sends little must not hold more than it sends.
func TestBufferGrowsWithWhatArrives(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 100 << 20})
	w := &wire{in: binary.BigEndian.AppendUint32(nil, 100<<20)}
	c := attach(t, s, w)
	for sent := 0; sent < 6<<20; {
		n := min(1+sent, 100_000)
		w.in = append(w.in, make([]byte, n)...)
		w.pieces = []int{len(w.in), 0}
		sent += n
		for len(w.in) > 0 {
			w.pieces = append(w.pieces, len(w.in), 0)
			arrive(s, c)
			s.Poll(0)
		}
		if most := 5*sent + 2*joinLimit; s.mem.held > most {
			t.Fatalf("%d bytes held after %d arrived", s.mem.held, sent)
		}
	}
	if len(s.Disconnected()) > 0 {
		t.Fatal("the connection was closed")
	}
}

// A channel that waits keeps small buffers only, whatever it sent before.
func TestARestDoesNotPinALargeBuffer(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1 << 20})
	w := &wire{in: append(frames(string(make([]byte, 60_000))), 0, 0, 0)}
	c := attach(t, s, w)
	w.pieces = []int{70_000, 0, 0}
	for range 3 {
		arrive(s, c)
		s.Poll(0)
	}
	if s.mem.held > joinLimit {
		t.Fatalf("%d bytes held for 3", s.mem.held)
	}
}

// One channel's flood must not keep the others waiting: a turn is bounded, and the scratch is shared in order.
func TestTurnsAreBounded(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 64 << 20})
	flood := attach(t, s, &wire{in: frames(string(make([]byte, 32<<20)))})
	other := attach(t, s, &wire{in: frames("hello")})
	arrive(s, flood)
	arrive(s, other)
	for pass := 0; ; pass++ {
		s.Poll(0)
		if rs := s.Receives(); len(rs) > 0 {
			if rs[0].Channel != other || pass > 0 {
				t.Fatalf("pass %d served %d first", pass, rs[0].Channel.Token())
			}
			return
		}
	}
}

// Row F9, by order instead of chance: when there is no room for all, those that waited come first in the next pass.
func TestFramesOfManyChannelsShareTheScratch(t *testing.T) {
	s := newSelector(t, Config{MaxReceiveSize: 1 << 20})
	const channels = 40
	want := map[uint64]string{}
	for i := range channels {
		payload := string(bytes.Repeat([]byte{byte(i)}, 10_000))
		c := attach(t, s, &wire{in: frames(payload), pieces: []int{10_004, 0, 0, 0, 0, 0, 0, 0, 0}})
		want[c.Token()] = payload
		arrive(s, c)
	}
	for pass := 0; len(want) > 0 && pass < channels; pass++ {
		s.Poll(0)
		for _, r := range s.Receives() { // all of a pass must still be whole at its end
			if want[r.Channel.Token()] != string(r.Frame) {
				t.Fatalf("pass %d: channel %d got %d bytes of something else", pass, r.Channel.Token(), len(r.Frame))
			}
			delete(want, r.Channel.Token())
			r.Channel.Mute()
		}
	}
	if len(want) > 0 {
		t.Fatalf("%d channels were not served", len(want))
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			// As many frames per read as fit, as under pipelining.
			batch := bytes.Repeat(frames(string(make([]byte, size))), max(readRoom/(size+4), 1))
			m, r, w := newBuffers(), receive{}, &wire{}
			b.SetBytes(int64(size + 4))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				frame, err := r.next(1 << 20)
				for frame == nil {
					r.retire(m)
					if m.used = 0; len(w.in) == 0 {
						w.in = batch
					}
					if _, _, err = r.fill(w, m); err != nil {
						b.Fatal(err)
					}
					frame, err = r.next(1 << 20)
				}
				if err != nil || len(frame) != size {
					b.Fatal(len(frame), err)
				}
			}
		})
	}
}
