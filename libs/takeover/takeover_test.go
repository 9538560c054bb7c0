package takeover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// old is a process that can be replaced.
type old struct {
	*Door
	path    string
	sockets []int
	ended   chan error
	cancel  context.CancelFunc
}

func startOld(t *testing.T, path string, sockets int, limit time.Duration) *old {
	t.Helper()
	d, err := Open(path, "0.1.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := &old{Door: d, path: path, ended: make(chan error, 1)}
	for range sockets {
		o.sockets = append(o.sockets, listeningSocket(t))
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.cancel = cancel
	go func() { o.ended <- d.Wait(ctx, limit, o.share) }()
	t.Cleanup(func() { cancel(); d.Close(); Close(o.sockets) })
	return o
}

func (o *old) share() (fds []int, _ error) {
	for _, fd := range o.sockets {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		fds = append(fds, dup)
	}
	return fds, nil
}

func listeningSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 16))
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func ask(t *testing.T, path string) *Predecessor {
	t.Helper()
	p, err := Ask(path, "0.2.0")
	if err != nil || p == nil {
		t.Fatalf("asked at %s: %v, %v", path, p, err)
	}
	t.Cleanup(func() { Close(p.Sockets); p.Close() })
	return p
}

func address(t *testing.T, fd int) unix.SockaddrInet4 {
	t.Helper()
	a, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return *a.(*unix.SockaddrInet4)
}

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "takeover") }

// The sockets come over, in their order, more than fit into one message too; a
// process that is ready ends the old one's waiting, and its door is at the path.
func TestTakeOver(t *testing.T) {
	for _, n := range []int{0, 1, 5, socketsPerMessage, 2*socketsPerMessage + 1} {
		path := path(t)
		o := startOld(t, path, n, time.Minute)
		p := ask(t, path)
		if len(p.Sockets) != n || p.Release != "0.1.0" || p.PID != os.Getpid() {
			t.Fatalf("%d sockets of release %s, process %d", len(p.Sockets), p.Release, p.PID)
		}
		for i, fd := range p.Sockets {
			if address(t, fd) != address(t, o.sockets[i]) {
				t.Fatalf("socket %d has another address", i)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Fatal("a child process would inherit a socket:", err)
			}
		}
		if err := p.Ready(); err != nil {
			t.Fatal(err)
		}
		if err := <-o.ended; err != nil {
			t.Fatal(err)
		}
		next := startOld(t, path, 1, time.Minute)
		o.Door.Close() // leaves the path to the next one
		p = ask(t, path)
		if address(t, p.Sockets[0]) != address(t, next.sockets[0]) {
			t.Fatal("the path leads to the old process")
		}
	}
}

// Where nobody is, or only the file of one that was killed, there is nothing to
// take over.
func TestNobody(t *testing.T) {
	path := path(t)
	if p, err := Ask(path, ""); p != nil || err != nil {
		t.Fatal(p, err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if p, err := Ask(path, ""); p != nil || err != nil {
		t.Fatal(p, err)
	}
	startOld(t, path, 1, time.Minute)
	ask(t, path)
}

// A process that dies before it is ready, or takes too long, or talks nonsense,
// changes nothing: the next one takes over.
func TestGoesOn(t *testing.T) {
	path := path(t)
	o := startOld(t, path, 2, 50*time.Millisecond)
	ask(t, path).Close()
	slow := ask(t, path)
	if _, _, err := receive(slow.conn, time.Now().Add(time.Minute)); err == nil {
		t.Fatal("the old process waits on")
	}
	for _, m := range []message{{Word: "nonsense"}, {}} {
		c := dialDoor(t, path)
		if err := send(c, m); err != nil {
			t.Fatal(err)
		}
		if _, _, err := receive(c, time.Now().Add(time.Minute)); err == nil {
			t.Fatal("nonsense was answered")
		}
	}
	c := dialDoor(t, path)
	c.Write([]byte("no JSON"))
	if err := ask(t, path).Ready(); err != nil {
		t.Fatal(err)
	}
	if err := <-o.ended; err != nil {
		t.Fatal(err)
	}
}

func dialDoor(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Messages of later versions are understood: what is new in them is passed over.
func TestLaterVersion(t *testing.T) {
	path := path(t)
	startOld(t, path, 1, time.Minute)
	c := dialDoor(t, path)
	if _, err := c.Write([]byte(`{"v":7,"word":"take","colour":"blue"}`)); err != nil {
		t.Fatal(err)
	}
	m, fds, err := receive(c, time.Now().Add(time.Minute))
	Close(fds)
	if err != nil || m.Word != wordSockets || len(fds) != 1 {
		t.Fatal(m, fds, err)
	}
}

// One that is told to end while another process is on its way lets it know, or
// is gone: never does the other one get sockets that nobody serves.
func TestEndMeanwhile(t *testing.T) {
	path := path(t)
	o := startOld(t, path, 1, time.Minute)
	p := ask(t, path)
	o.cancel()
	if err := <-o.ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := p.Ready(); err == nil {
		t.Fatal("an old process that ends by itself was relieved")
	}
	o.Door.Close()
	if p, err := Ask(path, ""); p != nil || err != nil {
		t.Fatal(p, err)
	}
}

// Nobody else may connect to the door.
func TestPrivate(t *testing.T) {
	path := path(t)
	startOld(t, path, 1, time.Minute)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
}
