package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"kanal/bench/peer"
	"kanal/bench/server"
)

// load is how a measurement drives: requests of size bytes, as many under way as the window says.
type load struct {
	window, size int
	duration     time.Duration
	handler      []string // more environment of each handler
}

// client drives a load and counts the answers. What it records is in microseconds.
type client interface {
	drive(ctx context.Context, l load, latencies *hdrhistogram.Histogram) (answers int64, err error)
	close()
}

// cluster is a NATS server, handlers, each in a process of its own, and the client in this one.
type cluster struct {
	client
	nats     *server.Server
	handlers []*server.Server
}

// start runs a peer: kanal, raw, raw-envelope or micro.
func start(name string, l load, handlers int) (_ *cluster, err error) {
	c := new(cluster)
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if c.nats, err = server.Start("nats"); err != nil {
		return nil, err
	}
	kind, env := name, append([]string{peer.EnvNATS + "=" + c.nats.Addr}, l.handler...)
	more := 0
	if name == "raw-envelope" {
		request, response := overhead()
		kind, more = "raw", request
		env = append(env, peer.EnvReply+"="+strconv.Itoa(l.size+response))
	}
	for range handlers {
		if err := c.add("handler-"+kind, env); err != nil {
			return nil, err
		}
	}
	if kind == "kanal" {
		c.client, err = newChannel(c.nats.Addr, handlers)
	} else {
		c.client, err = newRaw(c.nats.Addr, l.size+more)
	}
	return c, err
}

func (c *cluster) add(name string, env []string) error {
	h, err := server.Start(name, env...)
	if err == nil {
		c.handlers = append(c.handlers, h)
	}
	return err
}

// join adds another handler of ours, which the client waits for.
func (c *cluster) join(l load) error {
	if err := c.add("handler-kanal", append([]string{peer.EnvNATS + "=" + c.nats.Addr}, l.handler...)); err != nil {
		return err
	}
	return c.client.(*channel).await(len(c.handlers))
}

func (c *cluster) stop() {
	if c.client != nil {
		c.close()
	}
	for _, h := range c.handlers {
		_ = h.Signal(syscall.SIGCONT) // it may be stopped
		h.Stop()
	}
	if c.nats != nil {
		c.nats.Stop()
	}
}

// warmUp goes before each measurement.
const warmUp = 300 * time.Millisecond

// most is the longest time that latencies tell apart, in microseconds.
const most = 60_000_000

func (c *cluster) measure(ctx context.Context, l load, f *figures) error {
	stop, err := peer.Profile("client")
	if err != nil {
		return err
	}
	defer stop()
	warm := l
	warm.duration = warmUp
	if _, err := c.drive(ctx, warm, hdrhistogram.New(1, most, 3)); err != nil {
		return err
	}
	latencies := hdrhistogram.New(1, most, 3)
	before, err := c.cpu()
	if err != nil {
		return err
	}
	begun := time.Now()
	answers, err := c.drive(ctx, l, latencies)
	if err != nil {
		return err
	}
	took := time.Since(begun)
	after, err := c.cpu()
	if err != nil {
		return err
	}
	if answers == 0 {
		return fmt.Errorf("no answer within %s", l.duration)
	}
	f.rate = append(f.rate, float64(answers)/took.Seconds())
	f.cpu = append(f.cpu, float64((after-before).Nanoseconds())/1e3/float64(answers))
	f.p50 = append(f.p50, float64(latencies.ValueAtQuantile(50)))
	f.p99 = append(f.p99, float64(latencies.ValueAtQuantile(99)))
	return nil
}

// cpu is the processor time of all processes, this one's too.
func (c *cluster) cpu() (total time.Duration, err error) {
	for _, s := range append([]*server.Server{c.nats}, c.handlers...) {
		used, err := s.CPU()
		if err != nil {
			return 0, err
		}
		total += used
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, err
	}
	return total + time.Duration(own.Utime.Nano()+own.Stime.Nano()), nil
}
