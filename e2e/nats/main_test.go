// Package nats tests Kanal's processes against NATS servers that ask who they
// are: the users that deployments/nats ships, and every way to log in.
package nats

import (
	"os"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"kanal/e2e/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// start runs a NATS server on a free port of loopback until the test ends.
func start(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", process.Ports(t, 1), 0
	opts.StoreDir, opts.NoSigs, opts.NoLog = t.TempDir(), true, true
	return process.RunNATS(t, opts)
}
