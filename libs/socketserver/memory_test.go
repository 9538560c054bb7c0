package socketserver_test

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// An idle connection costs the process less than 1 KiB (design section 9), also after it has been used.
func TestIdleConnectionIsSmall(t *testing.T) {
	const connections = 1000
	echo := new(socketservertest.Echo)
	f := prepareWith(t, echo, []socketserver.ListenerConfig{{Kind: socketserver.KindFrames, Handler: "echo"}})
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	addr := &unix.SockaddrInet4{Port: f.server.Addr("TEST", 0).(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	frame, answer := sized(make([]byte, 3000)), make([]byte, 4000)
	clients := make([]int, connections)
	for i := range clients {
		clients[i] = rawConnect(t)
	}
	before := heap()
	for _, fd := range clients {
		if err := unix.Connect(fd, addr); err != nil {
			t.Fatal(err)
		}
		unix.Write(fd, frame)
		for got := 0; got < len(frame); {
			n, err := unix.Read(fd, answer)
			if n <= 0 {
				t.Fatal(n, err)
			}
			got += n
		}
	}
	each := (heap() - before) / connections
	t.Logf("%d bytes per idle connection", each)
	if each > 1024 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
}

// heap is what is in use; stacks and the kernel's part of a connection are not in it.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
