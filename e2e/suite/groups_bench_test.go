package suite

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
)

const (
	benchGroups  = 1000
	benchMembers = 3
	benchIdle    = 10 * time.Second
)

// benchMember is a member on a connection of its own.
type benchMember struct {
	b          *testing.B
	conn       net.Conn
	group, id  string
	generation int32
	stable     atomic.Int32 // generation, once it is synced
	owned      []kmsg.ConsumerGroupHeartbeatRequestTopic
}

func newBenchMember(b *testing.B, addr, group string, i int) *benchMember {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &benchMember{b: b, conn: conn, group: group, id: fmt.Sprintf("%s-%d", group, i), owned: []kmsg.ConsumerGroupHeartbeatRequestTopic{}}
}

// ask sends a request and reads its answer.
func (m *benchMember) ask(req kmsg.Request, version int16) kmsg.Response {
	req.SetVersion(version)
	_, err := m.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1))
	var size [4]byte
	if err == nil {
		_, err = io.ReadFull(m.conn, size[:])
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if err == nil {
		_, err = io.ReadFull(m.conn, body)
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	if err == nil {
		header := 4
		if req.IsFlexible() {
			header = 5
		}
		err = resp.ReadFrom(body[header:])
	}
	if err != nil {
		m.b.Errorf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp
}

// join joins and syncs, once.
func (m *benchMember) join() {
	m.stable.Store(0)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = m.group, "consumer", 45000, 60000
	if m.generation > 0 {
		join.MemberID = m.id
	}
	join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range", Metadata: []byte("metadata of some length")})
	joined := m.ask(join, 3).(*kmsg.JoinGroupResponse)
	if joined.ErrorCode != 0 {
		return
	}
	m.id, m.generation = joined.MemberID, joined.Generation
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = m.group, m.id, m.generation
	for _, other := range joined.Members {
		sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: other.MemberID, MemberAssignment: []byte("assignment")})
	}
	if m.ask(sync, 3).(*kmsg.SyncGroupResponse).ErrorCode == 0 {
		m.stable.Store(m.generation)
	}
}

// settleClassic has members join until all are in one generation. Who is in asks
// every 100 ms whether there is a rebalance.
func settleClassic(all []*benchMember) {
	settled := func() bool {
		first := all[0].stable.Load()
		return first > 0 && !slices.ContainsFunc(all, func(m *benchMember) bool { return m.stable.Load() != first })
	}
	var wg sync.WaitGroup
	for _, m := range all {
		wg.Go(func() {
			for !settled() && !m.b.Failed() {
				if m.stable.Load() == 0 || m.classicBeat() != 0 {
					m.join()
					continue
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
}

func (m *benchMember) classicBeat() int16 {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.id, m.generation
	return m.ask(req, 3).(*kmsg.HeartbeatResponse).ErrorCode
}

// consumer sends a heartbeat of KIP-848; with news in it, or without.
func (m *benchMember) consumer(news bool) int16 {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = m.group, m.id, m.generation, -1
	if news {
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 60000, []string{"bench"}, m.owned
	}
	resp := m.ask(req, 1).(*kmsg.ConsumerGroupHeartbeatResponse)
	if m.generation = resp.MemberEpoch; resp.Assignment != nil {
		m.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range resp.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return resp.ErrorCode
}

func (m *benchMember) partitions() (n int) {
	for _, t := range m.owned {
		n += len(t.Partitions)
	}
	return n
}

// usage is what all instances of groups take together.
type usage struct{ bytes, seconds float64 }

func usageOf(b *testing.B, c *process.Cluster) (u usage) {
	for _, p := range c.Instances["groups"] {
		u.bytes += p.Metric(b, "process_resident_memory_bytes")
		u.seconds += p.Metric(b, "process_cpu_seconds_total")
	}
	return u
}

// BenchmarkGroups has 1,000 groups of 3 members, all of whom are there before
// the last member of each joins. It prints what the two instances of groups take
// in memory, what they take of a processor when nobody asks and when everybody
// sends heartbeats every 3 s, and how long the rebalances took when all groups
// have one at once.
func BenchmarkGroups(b *testing.B) {
	b.Run("classic", func(b *testing.B) { benchmarkGroups(b, settleClassic, (*benchMember).classicBeat) })
	b.Run("848", func(b *testing.B) {
		benchmarkGroups(b, reconcile, func(m *benchMember) int16 { return m.consumer(false) })
	})
}

// reconcile has members send heartbeats until each has its share.
func reconcile(all []*benchMember) {
	for done := false; !done && !all[0].b.Failed(); {
		done = true
		for _, m := range all {
			m.consumer(true)
			done = done && m.partitions() == 6/len(all)
		}
	}
}

func benchmarkGroups(b *testing.B, settle func([]*benchMember), beat func(*benchMember) int16) {
	c := process.StartCluster(b)
	on := target{c.Bootstrap, process.Brokers, c.FrontEnd}
	createBenchTopic(b, on)
	groups := make([][]*benchMember, benchGroups)
	for i := range groups {
		for j := range benchMembers {
			groups[i] = append(groups[i], newBenchMember(b, on.bootstrap, fmt.Sprint("group-", i), j))
		}
	}
	before := usageOf(b, c)
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Go(func() { settle(g[:benchMembers-1]) })
	}
	wg.Wait()
	took := make([]time.Duration, benchGroups)
	begun := time.Now()
	for i, g := range groups {
		wg.Go(func() {
			begun := time.Now()
			settle(g)
			took[i] = time.Since(begun)
		})
	}
	wg.Wait()
	all := time.Since(begun)
	full, idle := usageOf(b, c), usageOf(b, c)
	time.Sleep(benchIdle)
	idle.seconds = usageOf(b, c).seconds - idle.seconds
	busy := usageOf(b, c)
	for range 3 {
		next := time.After(3 * time.Second)
		for _, g := range groups {
			for _, m := range g {
				if code := beat(m); code != 0 {
					b.Errorf("heartbeat: %v", kerr.ErrorForCode(code))
				}
			}
		}
		<-next
	}
	busy.seconds = usageOf(b, c).seconds - busy.seconds
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric((full.bytes-before.bytes)/(1<<20), "MiB-more")
	b.ReportMetric((full.bytes-before.bytes)/benchGroups/1024, "KiB/group")
	b.ReportMetric(100*idle.seconds/benchIdle.Seconds(), "idle-%cpu")
	b.ReportMetric(100*busy.seconds/9, "heartbeats-%cpu")
	b.ReportMetric(took[benchGroups/2].Seconds()*1e3, "rebalance-p50-ms")
	b.ReportMetric(took[benchGroups*99/100].Seconds()*1e3, "rebalance-p99-ms")
	b.ReportMetric(all.Seconds()*1e3, "all-ms")
}

func createBenchTopic(b *testing.B, on target) {
	m := newBenchMember(b, on.bootstrap, "", 0)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30000
	req.Topics = append(req.Topics, kmsg.CreateTopicsRequestTopic{Topic: "bench", NumPartitions: 6, ReplicationFactor: 1})
	if resp := m.ask(req, 4).(*kmsg.CreateTopicsResponse); len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
		b.Fatalf("%+v", resp)
	}
}
