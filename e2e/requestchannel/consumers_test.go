package requestchannel

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanal/e2e/process"
	"kanal/libs/protocol"
	rc "kanal/libs/requestchannel"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// A thousand consumers (fewer in scripts/test) that each ask for 50 MB and read slowly: the front end's memory stays near its budget, every
// consumer gets its answer whole, and no connection and no message is lost.
func TestSlowConsumers(t *testing.T) {
	const budget = 32 << 20
	consumers := process.Rounds(200, 1000)
	server := process.StartNATS(t)
	url := server.ClientURL()
	address := process.Address(t)
	fe := process.Start(t, "frontend", process.Env{
		"KANAL_NATS_URL": url, "KANAL_CLUSTER": "test", "KANAL_LISTENERS": "PLAINTEXT://" + address, "KANAL_REQUIRED_SERVICES": "records",
		"KANAL_RESPONSE_MAX_BYTES": strconv.Itoa(budget), "KANAL_QUEUED_MAX_REQUESTS": "2000", "KANAL_REQUEST_TIMEOUT": "5m",
		"KANAL_SOCKET_SEND_BUFFER_BYTES": "16384",
	})
	var asked, answered atomic.Int64
	newInstance(t, url, "records", func(c *rc.ServerConfig) {
		c.APIs = protocol.Ranges{protocol.Fetch: {Min: 4, Max: 11}}
		c.Window = 256
	}, func(_ *instance, in *rc.Incoming) {
		n := min(50<<20, int(in.Granted))
		asked.Add(1)
		answered.Add(int64(n))
		in.Send(rc.Answer{Append: func(b []byte) []byte {
			return append(append(b, in.Frame[4:8]...), make([]byte, n-4)...) // the correlation id, and so many bytes
		}})
	})
	fe.WaitReady(t)
	idle := resident(t, fe)
	var all sync.WaitGroup
	var done atomic.Int64
	for i := range consumers {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if err := fetchSlowly(conn, uint32(i)); err != nil {
				t.Errorf("consumer %d: %v", i, err)
			}
			done.Add(1)
		})
	}
	most := int64(0)
	for int(done.Load()) < consumers {
		most = max(most, resident(t, fe))
		time.Sleep(20 * time.Millisecond)
	}
	all.Wait()
	t.Logf("%d answers of %d MiB; resident %d MiB idle, %d MiB at most", asked.Load(), answered.Load()>>20, idle>>20, most>>20)
	// The collector lets the heap grow to twice of what is in use; connections and NATS have their buffers.
	if limit := idle + 3*budget + 64<<20; most > limit && !raceDetector {
		t.Errorf("resident %d MiB, want at most %d", most>>20, limit>>20)
	}
	if int(asked.Load()) != consumers {
		t.Errorf("%d fetches executed for %d", asked.Load(), consumers)
	}
	if n := server.NumSlowConsumers(); n != 0 {
		t.Errorf("NATS dropped %d connections for being slow", n)
	}
}

// fetchSlowly sends a fetch and reads its answer, a little at a time.
func fetchSlowly(conn net.Conn, correlation uint32) error {
	if err := conn.SetDeadline(time.Now().Add(4 * time.Minute)); err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint32([]byte{0, 1, 0, 11}, correlation)
	frame = append(frame, 0, 1, 'c')
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint32(head[4:]); got != correlation {
		return fmt.Errorf("answer %d", got)
	}
	part := make([]byte, 64<<10)
	for left := int(binary.BigEndian.Uint32(head[:])) - 4; left > 0; {
		n, err := io.ReadFull(conn, part[:min(left, len(part))])
		if err != nil {
			return err
		}
		left -= n
		time.Sleep(2 * time.Millisecond) // slow: what it reads is what waits
	}
	return nil
}

// resident is what a process has in memory, in bytes.
func resident(t *testing.T, p *process.Process) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.ID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
