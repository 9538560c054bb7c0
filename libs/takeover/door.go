package takeover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Door is where a process waits for the one that takes its place.
type Door struct {
	path     string
	release  string
	listener *net.UnixListener
	log      *slog.Logger
	passed   bool // its path belongs to the successor
}

// Open listens at path, which only this user may connect to. What is there, a
// predecessor's or left behind, is replaced in one step.
func Open(path, release string, log *slog.Logger) (*Door, error) {
	next := path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	// The mode of a socket that is not bound yet is what its file begins with
	// (Linux), so that there is no moment in which others may connect.
	private := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return os.NewSyscallError("fchmod", err)
	}}
	l, err := private.Listen(context.Background(), "unixpacket", next)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	d := &Door{path: path, release: release, listener: l.(*net.UnixListener), log: log}
	d.listener.SetUnlinkOnClose(false) // by the name that it will no longer have
	if err := os.Rename(next, path); err != nil {
		_ = d.listener.Close()
		return nil, fmt.Errorf("takeover: %w", err)
	}
	return d, nil
}

// Wait serves processes that ask, one after the other, and returns nil once one
// of them is ready in this one's place, or ctx's error. share gives duplicates of
// the listening sockets. The new process has to be ready within limit.
func (d *Door) Wait(ctx context.Context, limit time.Duration, share func() ([]int, error)) error {
	stop := context.AfterFunc(ctx, func() { _ = d.listener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		c, err := d.listener.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				d.refuse(c)
			}
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("takeover: %w", err)
		}
		if err = d.serve(ctx, c, limit, share); err == nil {
			d.passed = true
			return nil
		}
		d.log.Warn("a process that was to take over did not; this one goes on", "err", err)
	}
}

// serve hands the sockets to one process and waits until it is ready.
func (d *Door) serve(ctx context.Context, c *net.UnixConn, limit time.Duration, share func() ([]int, error)) error {
	defer c.Close()
	m, fds, err := receive(c, time.Now().Add(patience))
	Close(fds)
	if err != nil {
		return err
	}
	if m.Word != wordTake {
		return fmt.Errorf("takeover: unexpected message %q", m.Word)
	}
	d.log.Info("a process asked for the listening sockets", "pid", m.PID, "release", m.Release)
	if err := d.give(c, share); err != nil {
		return err
	}
	end := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer end()
	if m, fds, err = receive(c, time.Now().Add(limit)); err != nil {
		Close(fds)
		return err
	}
	Close(fds)
	if m.Word != wordReady {
		return fmt.Errorf("takeover: unexpected message %q", m.Word)
	}
	if err := send(c, message{Word: wordLeaving, PID: os.Getpid()}); err != nil {
		d.log.Debug("the process that takes over does not listen", "err", err) // it accepts all the same
	}
	return nil
}

func (d *Door) give(c *net.UnixConn, share func() ([]int, error)) error {
	fds, err := share()
	defer Close(fds)
	if err != nil {
		return err
	}
	for rest := fds; ; {
		n := min(len(rest), socketsPerMessage)
		m := message{Word: wordSockets, Release: d.release, PID: os.Getpid(), More: n < len(rest)}
		if err := send(c, m, rest[:n]...); err != nil {
			return err
		}
		if rest = rest[n:]; !m.More {
			return nil
		}
	}
}

func (d *Door) refuse(c *net.UnixConn) {
	_ = send(c, message{Word: wordLeaving, PID: os.Getpid()}) // it sees the close as well
	_ = c.Close()
}

// Close ends the waiting. The file goes, unless another process's is there now.
func (d *Door) Close() {
	_ = d.listener.Close()
	if !d.passed {
		_ = os.Remove(d.path)
	}
}
