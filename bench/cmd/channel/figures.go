package main

import (
	"fmt"
	"os"

	"kanal/bench/table"
)

// figures are what the rounds of one subject gave.
type figures struct{ rate, cpu, p50, p99 []float64 }

// report compares the first of names with each.
func report(names []string, got map[string]*figures) error {
	ours := got[names[0]]
	var rows [][]string
	for _, name := range names {
		f := got[name]
		rows = append(rows, []string{
			name, fmt.Sprintf("%.0f", table.Median(f.rate)), table.Spread(f.rate), ratio(ours.rate, f.rate),
			fmt.Sprintf("%.0f", table.Median(f.p50)), ratio(ours.p50, f.p50), fmt.Sprintf("%.0f", table.Median(f.p99)),
			fmt.Sprintf("%.2f", table.Median(f.cpu)), ratio(ours.cpu, f.cpu),
		})
	}
	of := names[0] + " /"
	return table.Write(os.Stdout, []string{"", "requests/s", "spread", of, "p50 us", of, "p99 us", "CPU us/request", of}, rows)
}

func ratio(ours, theirs []float64) string { return fmt.Sprintf("%.2f", table.Ratio(ours, theirs)) }
