package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const stormVariable = "KANAL_BENCH_STORM"

// storm is the process that connects.
type storm struct {
	cmd *exec.Cmd
	out *os.File
}

// made is what it did.
type made struct {
	connected, failed int64
	seconds           float64
}

func startStorm(addr string, rate int, d time.Duration) (*storm, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s := &storm{exec.Command(self), in}
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", stormVariable, addr, rate, d))
	s.cmd.Stdout, s.cmd.Stderr = out, os.Stderr
	return s, s.cmd.Start()
}

func (s *storm) wait() (m made, err error) {
	defer s.out.Close()
	_, scanErr := fmt.Fscan(s.out, &m.connected, &m.failed, &m.seconds)
	if err := s.cmd.Wait(); err != nil {
		return m, err
	}
	return m, scanErr
}

// stormMain is the storm's process; elsewhere it does nothing.
func stormMain() {
	order := os.Getenv(stormVariable)
	if order == "" {
		return
	}
	var addr, duration string
	var rate int
	if _, err := fmt.Sscan(order, &addr, &rate, &duration); err != nil {
		fmt.Fprintln(os.Stderr, stormVariable, order, err)
		os.Exit(1)
	}
	d, err := time.ParseDuration(duration)
	to, err2 := netip.ParseAddrPort(addr)
	if err != nil || err2 != nil {
		fmt.Fprintln(os.Stderr, stormVariable, order, err, err2)
		os.Exit(1)
	}
	m := blow(to, rate, d)
	fmt.Println(m.connected, m.failed, m.seconds)
	os.Exit(0)
}

const (
	// sources connect side by side.
	sources = 8
	// each from so many addresses in turn: a port stays in TIME_WAIT for a minute, in which several rounds take place.
	addresses = 8
)

// blow connects at a rate and closes at once.
func blow(to netip.AddrPort, rate int, d time.Duration) made {
	var connected, failed atomic.Int64
	var wait sync.WaitGroup
	begun := time.Now()
	for i := range sources {
		wait.Go(func() {
			interval := time.Second * sources / time.Duration(rate)
			due := begun
			for n := 0; due.Before(begun.Add(d)); n++ {
				time.Sleep(time.Until(due))
				due = due.Add(interval)
				from := netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i + sources*(n%addresses))})
				if err := touch(to, from); err != nil {
					failed.Add(1)
					continue
				}
				connected.Add(1)
			}
		})
	}
	wait.Wait()
	return made{connected.Load(), failed.Load(), time.Since(begun).Seconds()}
}

// touch connects and closes. It goes past package net, whose share of the processor would be the server's loss. The
// port is chosen when the destination is known, else the ports of an address would be used up four times as fast.
func touch(to netip.AddrPort, from netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
}
