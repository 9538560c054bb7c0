package takeover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Predecessor is the old process, as the new one sees it.
type Predecessor struct {
	// Sockets are its listening sockets: descriptors of ours, close-on-exec. The
	// caller takes them over.
	Sockets []int
	Release string
	PID     int

	conn *net.UnixConn
}

// Ask asks the process at path for its sockets; nil if there is none. Ready or
// Close ends what it began.
func Ask(path, release string) (*Predecessor, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) { // ECONNREFUSED: it left its file behind
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("takeover: connect to %s: %w", path, err)
	}
	p := &Predecessor{conn: conn}
	if err := p.take(release); err != nil {
		Close(p.Sockets)
		p.Close()
		if gone(err) {
			return nil, nil // it ended while we asked
		}
		return nil, fmt.Errorf("takeover: ask at %s: %w", path, err)
	}
	return p, nil
}

func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

func (p *Predecessor) take(release string) error {
	if err := send(p.conn, message{Word: wordTake, Release: release, PID: os.Getpid()}); err != nil {
		return err
	}
	for {
		m, fds, err := receive(p.conn, time.Now().Add(patience))
		p.Sockets = append(p.Sockets, fds...)
		switch {
		case err != nil:
			return err
		case m.Word == wordLeaving:
			return fmt.Errorf("%w: process %d is leaving", ErrRefused, m.PID)
		case m.Word != wordSockets:
			return fmt.Errorf("takeover: unexpected message %q", m.Word)
		}
		if p.Release, p.PID = m.Release, m.PID; !m.More {
			return nil
		}
	}
}

// Ready tells the old process that its sockets are accepted on, and returns once
// it has said that it leaves.
func (p *Predecessor) Ready() error {
	defer p.Close()
	if err := send(p.conn, message{Word: wordReady}); err != nil {
		return fmt.Errorf("takeover: tell process %d to leave: %w", p.PID, err)
	}
	if _, fds, err := receive(p.conn, time.Now().Add(patience)); err != nil {
		Close(fds)
		return fmt.Errorf("takeover: hear process %d leave: %w", p.PID, err)
	}
	return nil
}

// Close lets the old process go on, unless Ready has told it to leave. The
// sockets remain the caller's. Nothing happens to a nil Predecessor.
func (p *Predecessor) Close() {
	if p != nil {
		_ = p.conn.Close()
	}
}
