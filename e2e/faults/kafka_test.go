package faults

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadata is the dialect of Kafka's Metadata requests, told apart by their
// correlation ids.
type metadata struct{}

func (metadata) request(conn int, n uint64) []byte {
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(4)
	q.Topics = []kmsg.MetadataRequestTopic{}
	return kafka(q, correlation(conn, n))
}

func correlation(conn int, n uint64) int32 { return int32(conn<<20) + int32(n&0xfffff) }

func (metadata) check(conn int, n uint64, answer []byte) error {
	if len(answer) < 4 || int32(binary.BigEndian.Uint32(answer)) != correlation(conn, n) {
		return fmt.Errorf("%w: %x, not one to %x", errOther, answer[:min(4, len(answer))], correlation(conn, n))
	}
	r := kmsg.NewPtrMetadataResponse()
	r.SetVersion(4)
	if err := r.ReadFrom(answer[4:]); err != nil || len(r.Brokers) == 0 {
		return fmt.Errorf("%w: %d brokers, %v", errOther, len(r.Brokers), err)
	}
	return nil
}

// kafka is a request with its header, without size bytes.
func kafka(q kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("faults")).AppendRequest(nil, q, correlation)[4:]
}

// ask sends a request on a connection of its own, which stays open until the
// test ends.
func ask(t *testing.T, addr string, q kmsg.Request) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	b := kafka(q, 1)
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer reads the answer to ask's request into r, of the request's version.
func answer(t *testing.T, c net.Conn, r kmsg.Response) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b, err := readFrame(c)
	if err != nil {
		t.Fatal(err)
	}
	b = b[4:]
	if r.IsFlexible() && r.Key() != 18 {
		b = b[1:] // no tags
	}
	if err := r.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
}
