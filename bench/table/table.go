// Package table sums up what several rounds of a measurement gave: medians, because these figures have outliers, and
// their spread, because a ratio within it says nothing.
package table

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Median of the figures, which must not be empty.
func Median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread is the smallest and the largest figure, as parts of the median.
func Spread(figures []float64) string {
	m := Median(figures)
	if m == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f-%.2f", slices.Min(figures)/m, slices.Max(figures)/m)
}

// Ratio is the median of each round's ratio: the two figures of a round shared the moment.
func Ratio(ours, theirs []float64) float64 {
	each := make([]float64, len(theirs))
	for i := range theirs {
		each[i] = ours[i] / theirs[i]
	}
	return Median(each)
}

// Write prints rows under a header, as a table of Markdown that is aligned for reading.
func Write(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells []string) { fmt.Fprintf(t, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return t.Flush()
}
