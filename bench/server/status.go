package server

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"kanal/bench/peer"
)

// Status is what a server's process holds.
type Status struct {
	Resident    int64 // bytes of the process, after a garbage collection
	Heap        int64 // bytes in use, likewise
	Descriptors int
	Goroutines  int
	Connections int // by our gauge; 0 in peers that are not ours
}

func status() (s Status, err error) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap, s.Goroutines = int64(m.HeapInuse), runtime.NumGoroutine()
	if s.Resident, err = resident(); err != nil {
		return s, err
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, err
	}
	s.Descriptors = len(fds) - 1 // without the one that reads them
	s.Connections, err = connections()
	return s, err
}

// resident is the second field of statm, in pages.
func resident() (int64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0, fmt.Errorf("read /proc/self/statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

func connections() (n int, err error) {
	families, err := peer.Registry.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() == "kanal_connections" {
			for _, m := range f.GetMetric() {
				n += int(m.GetGauge().GetValue())
			}
		}
	}
	return n, nil
}

// tick is the kernel's unit of processor time in /proc, whatever it counts with inside.
const tick = 10 * time.Millisecond

// processorTime adds the 14th and 15th fields of stat, which are counted behind the name in its parentheses.
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	var total int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		total += n
	}
	return time.Duration(total) * tick, nil
}
