package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"kanal/bench/peer"
	"kanal/bench/table"
	"kanal/libs/requestchannel"
)

// faults measures three handlers: healthy, with one that is stopped, once that is known, and with one that is slow.
func faults(ctx context.Context, o options) error {
	names := []string{"one stopped", "one slow", "healthy"}
	got := map[string]*figures{names[0]: {}, names[1]: {}, names[2]: {}}
	l := load{window: 256, size: 100, duration: o.duration}
	for round := range o.rounds {
		table.Progress("three handlers: round %d of %d", round+1, o.rounds)
		if err := healthyThenStopped(ctx, l, got[names[2]], got[names[0]]); err != nil {
			return err
		}
		if err := withSlow(ctx, l, o.slow, got[names[1]]); err != nil {
			return err
		}
	}
	table.Progress("")
	fmt.Printf("\nwindow %d, %d bytes, three handlers, the slow one takes %s\n\n", l.window, l.size, o.slow)
	var rows [][]string
	for _, name := range []string{names[2], names[0], names[1]} {
		f := got[name]
		rows = append(rows, []string{name, fmt.Sprintf("%.0f", table.Median(f.rate)), table.Spread(f.rate), ratio(f.rate, got["healthy"].rate),
			fmt.Sprintf("%.0f", table.Median(f.p50)), fmt.Sprintf("%.0f", table.Median(f.p99))})
	}
	return table.Write(os.Stdout, []string{"", "requests/s", "spread", "of healthy", "p50 us", "p99 us"}, rows)
}

func healthyThenStopped(ctx context.Context, l load, healthy, stopped *figures) error {
	c, err := start("kanal", l, 3)
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.measure(ctx, l, healthy); err != nil {
		return err
	}
	if err := c.handlers[0].Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	// Until its announcements are missed.
	select {
	case <-time.After(requestchannel.AnnouncementTimeout + requestchannel.AnnouncementInterval):
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.measure(ctx, l, stopped)
}

func withSlow(ctx context.Context, l load, slow time.Duration, f *figures) error {
	c, err := start("kanal", l, 2)
	if err != nil {
		return err
	}
	defer c.stop()
	l.handler = []string{peer.EnvWork + "=" + slow.String()}
	if err := c.join(l); err != nil {
		return err
	}
	return c.measure(ctx, l, f)
}

// Window of each handler that sleeps: few, so that cores are not the limit.
const sleepers = 8

// scale measures 1, 2 and 4 handlers that sleep 1 ms for each request, with twice as many requests under way as they
// take at once.
func scale(ctx context.Context, o options) error {
	rates := map[int]*figures{1: {}, 2: {}, 4: {}}
	env := []string{peer.EnvWork + "=1ms", peer.EnvWindow + "=" + strconv.Itoa(sleepers)}
	for round := range o.rounds {
		for _, n := range []int{1, 2, 4} {
			table.Progress("%d handlers of 1 ms: round %d of %d", n, round+1, o.rounds)
			l := load{window: 2 * n * sleepers, size: 100, duration: o.duration, handler: env}
			c, err := start("kanal", l, n)
			if err != nil {
				return err
			}
			err = c.measure(ctx, l, rates[n])
			c.stop()
			if err != nil {
				return err
			}
		}
	}
	table.Progress("")
	fmt.Printf("\nhandlers that sleep 1 ms and take %d requests at once\n\n", sleepers)
	var rows [][]string
	for _, n := range []int{1, 2, 4} {
		r := rates[n].rate
		linear := table.Ratio(r, rates[1].rate) / float64(n)
		rows = append(rows, []string{strconv.Itoa(n), fmt.Sprintf("%.0f", table.Median(r)), table.Spread(r), fmt.Sprintf("%.2f", linear)})
	}
	return table.Write(os.Stdout, []string{"handlers", "requests/s", "spread", "of linear"}, rows)
}
