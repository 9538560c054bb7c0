package process

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS is a nats-server as a process of its own, which can be killed, stopped
// and started again: this test's binary, run as one.
type NATS struct {
	*Process
	URL string

	owner   testing.TB
	options natsProcess
}

// natsProcess is what a process that is a NATS server is told.
type natsProcess struct {
	Name    string
	Port    int
	Store   string // folder of JetStream; empty: none
	Cluster int    // port for the others, 0 for none
	Routes  []string
}

// natsRole is the variable that makes a test binary a NATS server.
const natsRole = "KANAL_TEST_NATS"

// natsOptions are those that Kanal ships.
func natsOptions(port int, store string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true,
		JetStream: store != "", StoreDir: store, SyncAlways: true, MaxPayload: 16 << 20,
	}
}

// StartNATSProcess runs a NATS server with JetStream in a process of its own.
func StartNATSProcess(t testing.TB) *NATS {
	t.Helper()
	n := &NATS{owner: t, options: natsProcess{Port: Ports(t, 1), Store: t.TempDir()}}
	n.Start(t)
	return n
}

// StartNATSCluster runs servers that are one cluster, without JetStream, in
// processes of their own.
func StartNATSCluster(t testing.TB, servers int) (nodes []*NATS) {
	t.Helper()
	ports := Ports(t, 2*servers)
	var routes []string
	for i := range servers {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports+servers+i))
	}
	for i := range servers {
		n := &NATS{owner: t, options: natsProcess{Name: "n" + strconv.Itoa(i), Port: ports + i, Cluster: ports + servers + i, Routes: routes}}
		n.Start(t)
		nodes = append(nodes, n)
	}
	return nodes
}

// Start starts the server, again if it was killed: on the same port and store.
func (n *NATS) Start(t testing.TB) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	role, err := json.Marshal(n.options)
	if err != nil {
		t.Fatal(err)
	}
	n.Process = &Process{Name: "nats-server", cmd: exec.Command(path)}
	n.URL = "nats://" + n.Address()
	n.Process.start(t, n.owner, Env{natsRole: string(role)})
	n.waitListening(t, n.options.Port)
}

// Replace starts another server in place of one that was killed: on the same
// port, and knowing nothing of what the other had stored.
func (n *NATS) Replace(t testing.TB) {
	t.Helper()
	n.options.Store = t.TempDir()
	n.Start(t)
}

// serveNATS is the life of a process that is a NATS server.
func serveNATS(role string) int {
	var p natsProcess
	if err := json.Unmarshal([]byte(role), &p); err != nil {
		fmt.Fprintln(os.Stderr, natsRole, err)
		return 2
	}
	o := natsOptions(p.Port, p.Store)
	o.ServerName = p.Name
	if p.Cluster != 0 {
		o.Cluster = server.ClusterOpts{Name: "kanal", Host: "127.0.0.1", Port: p.Cluster}
		for _, r := range p.Routes {
			u, err := url.Parse(r)
			if err != nil {
				fmt.Fprintln(os.Stderr, natsRole, err)
				return 2
			}
			o.Routes = append(o.Routes, u)
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		return 1
	}
	s.Start()
	if !s.ReadyForConnections(StartLimit) {
		fmt.Fprintln(os.Stderr, "nats-server: not ready within", StartLimit)
		return 1
	}
	for { // until it is killed
		time.Sleep(time.Hour)
	}
}

// Address is the server's host:port.
func (n *NATS) Address() string { return "127.0.0.1:" + strconv.Itoa(n.options.Port) }
