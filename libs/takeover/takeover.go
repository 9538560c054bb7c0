// Package takeover hands listening sockets from a process to the one that takes
// its place on the same machine, so that no connect is refused meanwhile: the
// sockets stay open, and with them the queues of connections that nobody has
// accepted yet. The old process listens on a unix socket (Door); the new one
// connects to it, gets the descriptors (Ask), accepts on them, and says so
// (Predecessor.Ready). Only then the old one leaves. A new process that dies
// before has changed nothing.
//
// Neither starts the other, unlike with tableflip and its kind: what starts
// processes here is a service manager, which gives each its own environment and
// binary. The sockets that systemd opens are had the same way (Activated). Kafka
// has nothing like it.
package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Version is the version of the messages that this build sends. Fields are only
// added; a reader takes every version and ignores what it does not know.
const Version = 1

// ErrRefused reports an old process that does not hand over: it is leaving, for
// another one or for good.
var ErrRefused = errors.New("takeover: refused")

// Kinds of messages, in the order in which they are sent.
const (
	wordTake    = "take"    // new: give me the sockets
	wordSockets = "sockets" // old: some of them; the last ones if More is not set
	wordReady   = "ready"   // new: I accept; you may leave
	wordLeaving = "leaving" // old: I do; or, instead of sockets, I was about to
)

// message is what goes over the socket, one to a packet, as JSON.
type message struct {
	Version int    `json:"v"`
	Word    string `json:"word"`
	Release string `json:"release,omitempty"` // of the sender, for people
	PID     int    `json:"pid,omitempty"`
	More    bool   `json:"more,omitempty"`
}

// socketsPerMessage is below what the kernel takes at once (SCM_MAX_FD, 253).
const socketsPerMessage = 128

// patience is how long each side waits for the other's next message, the new
// process's way to readiness excepted.
const patience = 5 * time.Second

func send(c *net.UnixConn, m message, fds ...int) error {
	m.Version = Version
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, _, err = c.WriteMsgUnix(b, rights, nil)
	return err
}

// receive reads a message and the descriptors that came with it, which are the
// caller's whatever the error.
func receive(c *net.UnixConn, limit time.Time) (m message, fds []int, _ error) {
	if err := c.SetReadDeadline(limit); err != nil {
		return m, nil, err
	}
	b, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*socketsPerMessage))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, rights)
	if err != nil {
		return m, nil, err
	}
	if fds, err = descriptors(rights[:oobn]); err != nil {
		return m, fds, err
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return m, fds, errors.New("takeover: message cut short")
	}
	if err := json.Unmarshal(b[:n], &m); err != nil {
		return m, fds, fmt.Errorf("takeover: read a message of %d bytes: %w", n, err)
	}
	return m, fds, nil
}

func descriptors(rights []byte) (fds []int, _ error) {
	all, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, fmt.Errorf("takeover: read descriptors: %w", err)
	}
	for i := range all {
		more, err := unix.ParseUnixRights(&all[i])
		if err != nil {
			return fds, fmt.Errorf("takeover: read descriptors: %w", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// Close closes descriptors that nobody wants.
func Close(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd) // nothing was written
	}
}
