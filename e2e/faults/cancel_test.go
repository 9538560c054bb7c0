package faults

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
)

// polls is how many long polls are ended at once.
const polls = 20

// TestCancellation closes connections whose long polls wait in handlers for
// minutes: they end there at once.
func TestCancellation(t *testing.T) {
	nats := process.StartNATSProcess(t)
	c := startCluster(t, nats.URL, nil, "metadata", "records", "groups")
	for _, service := range []string{"metadata", "records", "groups"} {
		c.add(service, 1, nil)
	}
	c.ready()
	if _, err := kadm.NewClient(client(t, c)).CreateTopic(t.Context(), 1, 1, nil, "empty"); err != nil {
		t.Fatal(err)
	}
	records, groups := c.handlers[1], c.handlers[2]
	leave := map[string]func(net.Conn){
		"closed":      func(conn net.Conn) { _ = conn.Close() },
		"reset":       func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0); _ = conn.Close() },
		"half closed": func(conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() },
	}
	for how, end := range leave {
		t.Run("fetch, "+how, func(t *testing.T) {
			c.requireEnds(t, records, end, func() net.Conn { return ask(t, c.kafka, longFetch()) })
		})
		t.Run("join, "+how, func(t *testing.T) {
			leader := c.stableGroup(t, how)
			c.requireEnds(t, groups, end, func() net.Conn { return ask(t, c.kafka, join(how, "")) })
			_ = leader.Close() // the member's heartbeats end anyway
		})
	}
}

// requireEnds wants long polls that wait in a handler to end with their
// connections, and not minutes later.
func (c *cluster) requireEnds(t *testing.T, handler *process.Process, end func(net.Conn), ask func() net.Conn) {
	t.Helper()
	var conns []net.Conn
	for range polls {
		conns = append(conns, ask())
	}
	process.Poll(t, time.Minute, "the long polls wait", func() error {
		if c.frontEnd.Metric(t, "kanal_requests_parked") != polls || handler.Metric(t, "kanal_handler_requests_held") < polls {
			return errFew
		}
		return nil
	})
	begun := time.Now()
	for _, conn := range conns {
		end(conn)
	}
	process.Poll(t, 20*time.Second, "the long polls have ended", func() error {
		if parked, held := c.frontEnd.Metric(t, "kanal_requests_parked"), handler.Metric(t, "kanal_handler_requests_held"); parked != 0 || held >= polls {
			return fmt.Errorf("%v parked in the front end, %v held by the handler", parked, held)
		}
		return nil
	})
	t.Logf("%d long polls ended within %s", polls, round(time.Since(begun)))
}

// patience is how long the long polls would wait.
const patience = 4 * time.Minute

func longFetch() kmsg.Request {
	q := kmsg.NewPtrFetchRequest()
	q.SetVersion(11)
	q.ReplicaID, q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.SessionEpoch = -1, int32(patience.Milliseconds()), 1<<20, 1<<20, -1
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.PartitionMaxBytes = 1 << 20
	q.Topics = []kmsg.FetchRequestTopic{{Topic: "empty", Partitions: []kmsg.FetchRequestTopicPartition{partition}}}
	return q
}

func join(group, member string) kmsg.Request {
	q := kmsg.NewPtrJoinGroupRequest()
	q.SetVersion(3)
	q.Group, q.MemberID, q.ProtocolType = group, member, "consumer"
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = int32(patience.Milliseconds()), int32(patience.Milliseconds())
	q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("m")}}
	return q
}

// stableGroup makes a group of one member, which has its assignment. Whoever
// joins then waits for it to come again.
func (c *cluster) stableGroup(t *testing.T, group string) net.Conn {
	t.Helper()
	joined := kmsg.NewPtrJoinGroupResponse()
	joined.SetVersion(3)
	process.Poll(t, time.Minute, "a member has joined", func() error {
		conn := ask(t, c.kafka, join(group, ""))
		defer conn.Close()
		answer(t, conn, joined)
		if joined.ErrorCode != 0 { // the coordinator is still loading
			return errFew
		}
		return nil
	})
	q := kmsg.NewPtrSyncGroupRequest()
	q.SetVersion(2)
	q.Group, q.MemberID, q.Generation = group, joined.MemberID, joined.Generation
	q.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("a")}}
	conn := ask(t, c.kafka, q)
	synced := kmsg.NewPtrSyncGroupResponse()
	synced.SetVersion(2)
	answer(t, conn, synced)
	if synced.ErrorCode != 0 {
		t.Fatalf("the group is not stable: error %d", synced.ErrorCode)
	}
	return conn
}
