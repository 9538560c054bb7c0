package service

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build makes the service of a process. ctx ends when the process is told to
// stop; what it starts must end with Run.
type Build func(ctx context.Context, p Process, deps Deps) (Runner, error)

// Main runs a service as this process and exits with its outcome: 0 after an
// orderly end, 1 with one log line that says what went wrong, 2 for a
// configuration that is not valid. cfg is filled before build is called.
func Main(name string, cfg Validator, build Build) {
	process := new(Process)
	readFlags(name, process, cfg)
	if flag.Arg(0) == "healthcheck" {
		os.Exit(healthcheck(process))
	}
	if err := Parse(process, cfg); err != nil {
		fmt.Fprintf(os.Stderr, "%s: configuration not valid:\n%v\n", name, err)
		os.Exit(2)
	}
	log := NewLogger(os.Stderr, *process)
	slog.SetDefault(log)
	followMemoryLimit(memlimit.FromCgroup, log)
	if err := run(name, *process, build, log); err != nil {
		log.Error("stopped", "service", name, "err", err)
		os.Exit(1)
	}
}

func run(name string, process Process, build Build, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registerBuildInfo(metrics)
	deps := Deps{Log: log, Metrics: metrics, Connect: Connector(ctx, process.NATS, log), Ready: new(Readiness)}
	var runners []Runner
	if process.HTTPAddr != "" {
		deps.Pages = http.NewServeMux()
		w, err := listen(process.HTTPAddr, deps.Pages, metrics, deps.Ready)
		if err != nil {
			return err
		}
		runners = append(runners, w)
		log.Info("serving status", "http", w.listener.Addr().String(), "paths", "/metrics /healthz /readyz")
	}
	deps.Ready.Waiting(name, "starting")
	r, err := build(ctx, process, deps)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	deps.Ready.Done(name)
	begun := time.Now()
	err = Group(ctx, append(runners, r)...)
	if err == nil {
		log.Info("stopped in order", "service", name, "ran", time.Since(begun).Round(time.Millisecond).String())
	}
	return err
}

// readFlags handles -version and -h, which lists the variables.
func readFlags(name string, cfgs ...Validator) {
	version := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "%s takes its configuration from the environment; \"%[1]s healthcheck\" asks a running one whether it is ready:\n", name)
		seen := map[string]bool{}
		for _, cfg := range cfgs {
			params, _ := env.GetFieldParams(cfg) // tags are held by a test
			for _, p := range params {
				if !seen[p.Key] {
					seen[p.Key] = true
					fmt.Fprintf(flag.CommandLine.Output(), "  %s (%q)\n", p.Key, p.DefaultValue)
				}
			}
		}
		flag.PrintDefaults()
	}
	flag.Parse()
	if *version {
		fmt.Printf("%s %s (%s)\n", name, Release, Revision())
		os.Exit(0)
	}
	if flag.NArg() > 0 && flag.Arg(0) != "healthcheck" {
		fmt.Fprintf(os.Stderr, "%s: unknown argument %q; -h lists the variables\n", name, flag.Arg(0))
		os.Exit(2)
	}
}
