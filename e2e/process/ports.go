package process

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Below the range that kernels take ports of outgoing connections from, so that
// no client can take a port between a process and its successor.
const (
	firstPort = 15000
	lastPort  = 32000
)

var (
	portsMu sync.Mutex
	given   = map[int]bool{}
)

// Ports finds n ports in a row that are free on loopback, returns the first,
// and gives none of them again.
func Ports(t testing.TB, n int) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		first := firstPort + rand.IntN(lastPort-firstPort-n)
		if free(first, n) {
			for i := range n {
				given[first+i] = true
			}
			return first
		}
	}
	t.Fatalf("no %d free ports in a row between %d and %d", n, firstPort, lastPort)
	return 0
}

func free(first, n int) bool {
	for i := range n {
		if given[first+i] {
			return false
		}
		for _, host := range []string{"127.0.0.1", "::1"} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(first+i)))
			if err != nil && host == "127.0.0.1" {
				return false
			}
			if err == nil {
				_ = l.Close() // nothing was accepted
			}
		}
	}
	return true
}

// Address is a loopback address with a free port.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Ports(t, 1)))
}
