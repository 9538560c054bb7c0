// Command storm measures what a storm of connects does to clients that are there already: the latency of established
// clients at a fixed rate of requests, without and with the storm, and whether the server gives everything back.
//
//	go run ./bench/cmd/storm
//
// Server, storm and established clients are a process each. The storm comes from several loopback addresses, because
// one has not enough ephemeral ports.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"kanal/bench/server"
	"kanal/bench/table"
)

type config struct {
	peers                           []string
	rate, established, pace, rounds int
	duration                        time.Duration
}

func main() {
	server.Main()
	stormMain()
	var cfg config
	flag.IntVar(&cfg.rate, "rate", 10000, "connects per second")
	flag.DurationVar(&cfg.duration, "duration", 10*time.Second, "of the storm, and of the quiet before it")
	flag.IntVar(&cfg.established, "established", 200, "clients that stay connected")
	flag.IntVar(&cfg.pace, "pace", 20, "requests per second of each of them")
	flag.IntVar(&cfg.rounds, "rounds", 3, "how often it is measured")
	peers := flag.String("peers", "kanal,gnet,std", "comma separated")
	flag.Parse()
	cfg.peers = strings.Split(*peers, ",")
	if err := run(cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(cfg config) error {
	var rows [][]string
	ratios := map[string][]float64{}
	for round := range cfg.rounds {
		for _, peer := range cfg.peers {
			table.Progress("round %d of %d, %s: %d established clients, then %d connects a second, for %s each", round+1, cfg.rounds, peer, cfg.established, cfg.rate, cfg.duration)
			row, ratio, err := measure(cfg, peer)
			if err != nil {
				return err
			}
			rows, ratios[peer] = append(rows, append([]string{peer}, row...)), append(ratios[peer], ratio)
		}
	}
	table.Progress("")
	fmt.Printf("%d established clients with %d requests a second each; a storm of %d connects a second for %s\n\n", cfg.established, cfg.pace, cfg.rate, cfg.duration)
	if err := table.Write(os.Stdout, []string{"peer", "connects/s", "failed", "p50 us quiet", "storm", "p99 us quiet", "storm", "p99 storm/quiet", "left over: connections", "descriptors", "goroutines"}, rows); err != nil {
		return err
	}
	for _, peer := range cfg.peers {
		fmt.Printf("\n%s: p99 under the storm, median of %d rounds: %.2f times the quiet one", peer, cfg.rounds, table.Median(ratios[peer]))
	}
	fmt.Println()
	return nil
}

func measure(cfg config, peer string) ([]string, float64, error) {
	s, err := server.Start(peer)
	if err != nil {
		return nil, 0, err
	}
	defer s.Stop()
	clients, err := connect(s.Addr, cfg.established)
	if err != nil {
		return nil, 0, err
	}
	defer clients.close()
	quiet, err := clients.work(cfg.pace, cfg.duration)
	if err != nil {
		return nil, 0, err
	}
	before, err := s.Status()
	if err != nil {
		return nil, 0, err
	}
	storm, err := startStorm(s.Addr, cfg.rate, cfg.duration)
	if err != nil {
		return nil, 0, err
	}
	stormy, workErr := clients.work(cfg.pace, cfg.duration)
	made, err := storm.wait()
	if workErr != nil || err != nil {
		return nil, 0, fmt.Errorf("established clients: %v; storm: %v", workErr, err)
	}
	after, err := settled(s, before)
	if err != nil {
		return nil, 0, err
	}
	ratio := stormy.at(99) / quiet.at(99)
	return []string{
		fmt.Sprintf("%.0f", float64(made.connected)/made.seconds), fmt.Sprint(made.failed),
		fmt.Sprintf("%.0f", quiet.at(50)), fmt.Sprintf("%.0f", stormy.at(50)), fmt.Sprintf("%.0f", quiet.at(99)), fmt.Sprintf("%.0f", stormy.at(99)),
		fmt.Sprintf("%.2f", ratio), fmt.Sprint(after.Connections - before.Connections),
		fmt.Sprint(after.Descriptors - before.Descriptors), fmt.Sprint(after.Goroutines - before.Goroutines),
	}, ratio, nil
}

// settled gives the server a moment to see the last connections close.
func settled(s *server.Server, before server.Status) (st server.Status, err error) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if st, err = s.Status(); err != nil || st.Connections == before.Connections && st.Descriptors <= before.Descriptors {
			return st, err
		}
	}
	return st, nil
}
