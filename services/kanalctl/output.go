package kanalctl

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/mattn/go-isatty"
)

// output is where results go, and how.
type output struct {
	io.Writer
	json bool
}

// table is a result that people can read.
type table interface{ text() string }

// render gives a result as it is printed; compact JSON is one line.
func (o output) render(t table, compact bool) (string, error) {
	if !o.json {
		return t.text(), nil
	}
	b, err := json.Marshal(t)
	if !compact {
		b, err = json.MarshalIndent(t, "", "  ")
	}
	return string(b) + "\n", err
}

// print renders and writes a result.
func (o output) print(t table) error {
	s, err := o.render(t, false)
	if err == nil {
		_, err = io.WriteString(o, s)
	}
	return err
}

// terminal tells whether somebody looks at a screen.
func (o output) terminal() bool {
	f, ok := o.Writer.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// columns aligns rows of cells, the first of which are the headings.
func columns(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}
