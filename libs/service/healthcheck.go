package service

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// healthcheck asks the process that runs with the same environment whether it
// is ready, for containers that have no shell: 0 if so, 1 if not.
func healthcheck(p *Process) int {
	if err := Parse(p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	answer, err := askReady(p.HTTPAddr)
	fmt.Fprintln(os.Stderr, answer)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// askReady gets /readyz of a status port; an empty host is this one.
func askReady(addr string) (answer string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("healthcheck needs a status port (KANAL_HTTP_ADDR=%s): %w", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	client := http.Client{Timeout: 2 * time.Second}
	r, err := client.Get("http://" + net.JoinHostPort(host, port) + "/readyz")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("not ready: %s", r.Status)
	}
	return string(b), err
}
