package socketserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// P10: an idle TLS connection costs the process less than 12 KiB (design section 9) after small requests: what it holds is
// crypto/tls's own. KANAL_TEST_TLS_CONNECTIONS says how many, if not 1000. The clients are here too, but only their
// sockets stay.
func TestIdleTLSConnectionIsSmall(t *testing.T) {
	connections := int64(1000)
	if n, err := strconv.Atoi(os.Getenv("KANAL_TEST_TLS_CONNECTIONS")); err == nil {
		connections = int64(n)
	}
	echo := new(socketservertest.Echo)
	e := newEncrypted(t, func(l *socketserver.ListenerConfig) {
		l.Kind, l.Handler, l.MaxIdle = socketserver.KindFrames, "echo", time.Hour
	})
	e.fixture = startWith(t, echo, []socketserver.ListenerConfig{e.cfg})
	cfg, frame := e.client(), sized(make([]byte, 100))
	idle := func(n int64) (sockets []*os.File) {
		for range n {
			raw, err := net.Dial("tcp", e.server.Addr("TEST", 0).String())
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(raw, cfg)
			for range 3 {
				if _, err := c.Write(frame); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, make([]byte, len(frame))); err != nil {
					t.Fatal(err)
				}
			}
			socket, err := raw.(*net.TCPConn).File()
			if err != nil {
				t.Fatal(err)
			}
			sockets = append(sockets, socket)
			raw.Close() // not the connection: socket holds it
		}
		return sockets
	}
	all := idle(100) // what is there once
	before := heap()
	all = append(all, idle(connections)...)
	each := (heap() - before) / connections
	t.Logf("%d bytes per idle TLS connection", each)
	if each > 12<<10 {
		t.Errorf("an idle TLS connection costs %d bytes", each)
	}
	for _, socket := range all {
		socket.Close()
	}
}
