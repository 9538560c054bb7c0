// Command channel measures the request channel between a front end and handlers, each in a process of its own, beside
// raw nats.go and NATS micro with a fixed subject to request and one to answer on. All connect with the same options,
// flush alike and answer with what they got; raw sides publish payloads that were made before.
//
//	go run ./bench/cmd/channel
//	go run ./bench/cmd/channel -loads 256x100 -rounds 7 -faults=false -scale=false
//
// KANAL_BENCH_PROFILE names a folder for processor profiles of all processes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"kanal/bench/server"
	"kanal/bench/table"
)

// options are what the command line says.
type options struct {
	loads, peers []string
	rounds       int
	duration     time.Duration
	slow         time.Duration
	faults       bool
	scale        bool
}

func main() {
	server.Main()
	var o options
	var loads, peers string
	flag.StringVar(&loads, "loads", "1x100,16x100,256x100,1x1024,16x1024,256x1024", "`window x bytes`, comma separated")
	flag.StringVar(&peers, "peers", "kanal,raw,raw-envelope,micro", "comma separated; the first is compared with the others. raw-envelope sends as many bytes as kanal")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each is measured")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "of one measurement")
	flag.DurationVar(&o.slow, "slow", 10*time.Millisecond, "what a request takes in the slow one of three handlers: 100 times what it takes alone in a healthy one")
	flag.BoolVar(&o.faults, "faults", true, "measure three handlers with one stopped, and with one slow")
	flag.BoolVar(&o.scale, "scale", true, "measure 1, 2 and 4 handlers that sleep 1 ms for each request")
	flag.Parse()
	o.loads, o.peers = strings.Split(loads, ","), strings.Split(peers, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	for _, l := range o.loads {
		if l == "" {
			continue // -loads "" measures none
		}
		var load load
		if _, err := fmt.Sscanf(l, "%dx%d", &load.window, &load.size); err != nil || load.window < 1 || load.size < 8 {
			return fmt.Errorf("load %q: must be window x bytes, such as 256x100, with 8 bytes at least", l)
		}
		load.duration = o.duration
		if err := compare(ctx, load, o); err != nil {
			return err
		}
	}
	if o.faults {
		if err := faults(ctx, o); err != nil {
			return err
		}
	}
	if o.scale {
		return scale(ctx, o)
	}
	return nil
}

// compare has the peers take turns, each round in another order, so that what else the machine does meets all.
func compare(ctx context.Context, l load, o options) error {
	got := map[string]*figures{}
	for round := range o.rounds {
		order := slices.Concat(o.peers[round%len(o.peers):], o.peers[:round%len(o.peers)])
		for _, name := range order {
			if got[name] == nil {
				got[name] = new(figures)
			}
			table.Progress("window %d, %d bytes: round %d of %d, %s", l.window, l.size, round+1, o.rounds, name)
			c, err := start(name, l, 1)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			err = c.measure(ctx, l, got[name])
			c.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	table.Progress("")
	fmt.Printf("\nwindow %d, %d bytes, one handler\n\n", l.window, l.size)
	return report(o.peers, got)
}
