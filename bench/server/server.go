// Package server runs a peer in a process of its own, so that its memory and processor time are told apart from the
// client's. The process is the running program again: its main must call Main first.
package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"kanal/bench/peer"
)

const variable = "KANAL_BENCH_PEER"

// Main is the server's process: it tells its address, then its status for each line on its standard input, and ends
// with it. In the client's process it does nothing.
func Main() {
	name := os.Getenv(variable)
	if name == "" {
		return
	}
	signal.Ignore(os.Interrupt) // the client ends it
	if err := serve(name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(name string) error {
	start, err := peer.Find(name)
	if err != nil {
		return err
	}
	stop, err := peer.Profile(name)
	if err != nil {
		return err
	}
	defer stop()
	addr, err := start()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	fmt.Println(addr)
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s, err := status()
		if err != nil {
			return err
		}
		if err := out.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

// Server is a peer's process.
type Server struct {
	Addr string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// Start runs a peer by name, with more environment of the form NAME=value.
func Start(name string, env ...string) (*Server, error) {
	if _, err := peer.Find(name); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &Server{cmd: exec.Command(self)}
	s.cmd.Env, s.cmd.Stderr = append(append(os.Environ(), variable+"="+name), env...), os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if _, err := fmt.Fscanln(s.out, &s.Addr); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

// Stop ends the process; its connections end with it.
func (s *Server) Stop() {
	_ = s.in.Close()
	_ = s.cmd.Wait() // it may have failed, which its standard error tells
}

// Signal sends a signal to the process.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// CPU is the processor time that the process has used, in steps of 10 ms.
func (s *Server) CPU() (time.Duration, error) { return processorTime(s.cmd.Process.Pid) }

// Status asks the process, which collects its garbage first.
func (s *Server) Status() (st Status, err error) {
	if _, err := fmt.Fprintln(s.in); err != nil {
		return st, err
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return st, fmt.Errorf("ask for the status: %w", err)
	}
	return st, json.Unmarshal(line, &st)
}
