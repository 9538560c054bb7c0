// Command echo measures framed echo: our reactor and the others side by side, each in a process of its own, in rounds
// that take turns, loaded by the same client.
//
//	go run ./bench/cmd/echo
//	go run ./bench/cmd/echo -loads 1000x1x64,10000x1x64 -rounds 7 -peers kanal,gnet
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
	"kanal/services/loadgen"
)

func main() {
	server.Main()
	var loads, peers string
	rounds := flag.Int("rounds", 5, "how often each pair of load and peer is measured")
	duration := flag.Duration("duration", 2*time.Second, "of one measurement")
	flag.StringVar(&loads, "loads", "1x1x64,64x1x64,64x16x64,1000x1x64,10000x1x64,1x1x1024,64x1x1024,1000x1x1024,10000x1x1024", "`connections x window x bytes`, comma separated")
	flag.StringVar(&peers, "peers", "kanal,gnet,netpoll,std", "comma separated; the others are compared with the first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(loads, ","), strings.Split(peers, ","), *rounds, *duration); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, loads, peers []string, rounds int, duration time.Duration) error {
	var all []loadgen.Config
	for _, l := range loads {
		cfg := loadgen.Defaults()
		cfg.Mode, cfg.Duration = loadgen.ModeFrames, duration
		if _, err := fmt.Sscanf(l, "%dx%dx%d", &cfg.Connections, &cfg.Window, &cfg.Size); err != nil {
			return fmt.Errorf("load %q: must be connections x window x bytes, such as 64x1x64", l)
		}
		if err := cfg.Validate(); err != nil {
			return fmt.Errorf("load %q: %w", l, err)
		}
		all = append(all, cfg)
	}
	for _, cfg := range all {
		if err := compare(ctx, cfg, peers, rounds); err != nil {
			return err
		}
	}
	return nil
}

// figures are what the rounds of one peer gave.
type figures struct{ rate, cpu, p50, p99, memory []float64 }

// compare has the peers take turns, each round in another order, so that what else the machine does meets all.
func compare(ctx context.Context, cfg loadgen.Config, peers []string, rounds int) error {
	got := map[string]*figures{}
	for round := range rounds {
		order := slices.Concat(peers[round%len(peers):], peers[:round%len(peers)])
		for _, name := range order {
			if got[name] == nil {
				got[name] = new(figures)
			}
			table.Progress("%d connections, window %d, %d bytes: round %d of %d, %s", cfg.Connections, cfg.Window, cfg.Size, round+1, rounds, name)
			if err := measure(ctx, cfg, name, got[name]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	table.Progress("")
	return report(cfg, peers, got)
}

func measure(ctx context.Context, cfg loadgen.Config, name string, f *figures) error {
	s, err := server.Start(name)
	if err != nil {
		return err
	}
	defer s.Stop()
	cfg.Addr = s.Addr
	before, err := s.CPU()
	if err != nil {
		return err
	}
	r, err := loadgen.Drive(ctx, cfg, nil)
	if err != nil {
		return err
	}
	after, err := s.CPU()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Errors > 0 || r.Requests == 0 {
		return fmt.Errorf("%d requests answered, %d failed: %v", r.Requests, r.Errors, r.Failures)
	}
	st, err := s.Status()
	if err != nil {
		return err
	}
	f.rate = append(f.rate, r.RequestsPerSecond)
	f.cpu = append(f.cpu, float64((after-before).Nanoseconds())/1e3/float64(r.Requests))
	f.p50, f.p99 = append(f.p50, r.Latency.P50), append(f.p99, r.Latency.P99)
	f.memory = append(f.memory, float64(st.Resident)/(1<<20))
	return nil
}

func report(cfg loadgen.Config, peers []string, got map[string]*figures) error {
	fmt.Printf("\n%d connections, window %d, %d bytes\n\n", cfg.Connections, cfg.Window, cfg.Size)
	ours := got[peers[0]]
	var rows [][]string
	for _, name := range peers {
		f := got[name]
		rows = append(rows, []string{
			name, fmt.Sprintf("%.0f", table.Median(f.rate)), table.Spread(f.rate), ratio(ours.rate, f.rate),
			fmt.Sprintf("%.2f", table.Median(f.cpu)), ratio(ours.cpu, f.cpu),
			fmt.Sprintf("%.0f", table.Median(f.p50)), fmt.Sprintf("%.0f", table.Median(f.p99)), fmt.Sprintf("%.1f", table.Median(f.memory)),
		})
	}
	return table.Write(os.Stdout, []string{
		"peer", "requests/s", "spread", peers[0] + " /", "CPU us/request", peers[0] + " /", "p50 us", "p99 us", "MiB",
	}, rows)
}

func ratio(ours, theirs []float64) string { return fmt.Sprintf("%.2f", table.Ratio(ours, theirs)) }
