package table

import (
	"fmt"
	"os"

	"github.com/mattn/go-isatty"
)

// Progress says on standard error what is being measured: on a terminal in one line that the next call replaces, an
// empty one by nothing.
func Progress(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	switch {
	case isatty.IsTerminal(os.Stderr.Fd()):
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
	case line != "":
		fmt.Fprintln(os.Stderr, line)
	}
}
