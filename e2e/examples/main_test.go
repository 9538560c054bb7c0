// Package examples runs what examples/ has, handlers in languages other than
// Go, against a real front end.
package examples

import (
	"os"
	"testing"

	"kanal/e2e/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }
