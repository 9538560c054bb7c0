package table

import (
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		median  float64
		spread  string
	}{
		{[]float64{7}, 7, "1.00-1.00"},
		{[]float64{9, 1, 2}, 2, "0.50-4.50"},
		{[]float64{4, 1, 3, 2}, 2.5, "0.40-1.60"},
		{[]float64{0, 0}, 0, "-"},
	} {
		if m, s := Median(c.figures), Spread(c.figures); m != c.median || s != c.spread {
			t.Errorf("%v: median %v, spread %s", c.figures, m, s)
		}
	}
}

// Ratios are of pairs: the machine was slow in the second round, for both.
func TestRatio(t *testing.T) {
	if r := Ratio([]float64{50, 10, 60}, []float64{100, 20, 100}); r != 0.5 {
		t.Error(r)
	}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, []string{"peer", "rate"}, [][]string{{"kanal", "1"}}); err != nil {
		t.Fatal(err)
	}
	if want := "| peer  | rate |\n| ---   | ---  |\n| kanal | 1    |\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
