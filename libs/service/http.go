package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// web serves /metrics, /healthz and /readyz of a process.
type web struct {
	server   *http.Server
	listener net.Listener
}

// listen opens addr and adds the process's own pages to mux; an address in use is
// a clear error.
func listen(addr string, mux *http.ServeMux, gather prometheus.Gatherer, ready *Readiness) (*web, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open the status port (KANAL_HTTP_ADDR=%s): %w; set another address, or an empty one for none", addr, err)
	}
	mux.Handle("/metrics", promhttp.HandlerFor(gather, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if missing := ready.Missing(); len(missing) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, strings.Join(missing, "\n"))
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return &web{&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, l}, nil
}

// Run serves until ctx ends.
func (w *web) Run(ctx context.Context) error {
	stopped := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if w.server.Shutdown(limit) != nil {
			_ = w.server.Close() // a scraper that hangs does not hold the process
		}
	})
	defer stopped()
	if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the status port: %w", err)
	}
	return nil
}
