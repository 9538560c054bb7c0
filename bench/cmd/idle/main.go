// Command idle measures what an idle connection costs the server's process: connections that have each sent one small
// request are kept, and the slope of the process's memory between two numbers of them is the cost of one.
//
//	go run ./bench/cmd/idle
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"kanal/bench/server"
	"kanal/bench/table"
)

func main() {
	server.Main()
	few := flag.Int("few", 5000, "connections at the first measurement")
	many := flag.Int("many", 15000, "connections at the second")
	rounds := flag.Int("rounds", 3, "how often each peer is measured")
	size := flag.Int("size", 64, "`bytes` of the one request of each connection")
	peers := flag.String("peers", "kanal,gnet,netpoll,std", "comma separated; kanal-tls speaks TLS 1.3")
	flag.Parse()
	if err := run(strings.Split(*peers, ","), *rounds, *few, *many, *size); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(peers []string, rounds, few, many, size int) error {
	if few < 1 || many <= few {
		return fmt.Errorf("-few %d, -many %d: must grow from at least 1", few, many)
	}
	var rows [][]string
	for _, name := range peers {
		var resident, heap []float64
		for round := range rounds {
			table.Progress("%s: round %d of %d", name, round+1, rounds)
			r, h, err := measure(name, few, many, size)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			resident, heap = append(resident, r), append(heap, h)
		}
		rows = append(rows, []string{name, fmt.Sprintf("%.0f", table.Median(resident)), table.Spread(resident), fmt.Sprintf("%.0f", table.Median(heap))})
	}
	table.Progress("")
	fmt.Printf("bytes of the process for each idle connection, between %d and %d, after a request of %d bytes\n\n", few, many, size)
	return table.Write(os.Stdout, []string{"peer", "resident", "spread", "heap in use"}, rows)
}

// measure gives the slopes of resident memory and of the heap.
func measure(name string, few, many, size int) (resident, heap float64, err error) {
	s, err := server.Start(name)
	if err != nil {
		return 0, 0, err
	}
	defer s.Stop()
	c := clients{addr: s.Addr, dial: dialer(name), request: request(size)}
	defer c.close()
	first, err := c.grow(s, few)
	if err != nil {
		return 0, 0, err
	}
	second, err := c.grow(s, many)
	if err != nil {
		return 0, 0, err
	}
	more := float64(many - few)
	return float64(second.Resident-first.Resident) / more, float64(second.Heap-first.Heap) / more, nil
}

// clients are the connections of this process.
type clients struct {
	addr    string
	dial    func(addr string) (net.Conn, error)
	request []byte
	all     []net.Conn
}

// grow opens connections up to n, has each use its own once, and looks at the server.
func (c *clients) grow(s *server.Server, n int) (server.Status, error) {
	for len(c.all) < n {
		conn, err := c.dial(c.addr)
		if err != nil {
			return server.Status{}, err
		}
		c.all = append(c.all, conn)
		if err := c.use(conn); err != nil {
			return server.Status{}, err
		}
	}
	return s.Status()
}

const answerTimeout = 10 * time.Second

func (c *clients) use(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(answerTimeout)) // an open connection takes it
	if _, err := conn.Write(c.request); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(c.request)))
	return err
}

func (c *clients) close() {
	for _, conn := range c.all {
		_ = conn.Close()
	}
}

func request(size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size)...)
}

func dialer(peer string) func(string) (net.Conn, error) {
	return func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }
}
