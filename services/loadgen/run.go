package loadgen

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"

	"kanal/libs/service"
)

const usage = `Usage: loadgen [flags]

Drives load at an address and reports requests per second and latency. A closed
loop: each connection keeps -window requests outstanding for -duration. The exit
code is 1 when any request failed.

`

// Run executes a command line, without the program's name: the result goes to
// stdout, a line of progress per second to stderr. When ctx ends the run ends
// early, and in order.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg := Defaults()
	flags, opts := newFlags(&cfg)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		fmt.Fprint(stdout, usage)
		flags.PrintDefaults()
		return nil
	case err != nil:
		return fmt.Errorf("%w; -h explains", err)
	case opts.version:
		_, err := fmt.Fprintf(stdout, "loadgen %s (%s)\n", service.Release, service.Revision())
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q; -h explains", flags.Arg(0))
	}
	result, err := Drive(ctx, cfg, func(p Progress) { fmt.Fprintln(stderr, p) })
	if err != nil {
		return err
	}
	if err := result.print(stdout, opts.json); err != nil {
		return err
	}
	return result.failure()
}

// options are the flags that do not change the load.
type options struct{ json, version bool }

func newFlags(cfg *Config) (*flag.FlagSet, *options) {
	flags, opts := flag.NewFlagSet("loadgen", flag.ContinueOnError), new(options)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.Addr, "addr", cfg.Addr, "`host:port` to load; for Kafka modes a bootstrap address")
	flags.Func("mode", "`what` is sent: frames (verified echo), apiversions, metadata or produce (default "+string(cfg.Mode)+")", func(s string) error {
		cfg.Mode = Mode(s)
		return nil
	})
	flags.IntVar(&cfg.Connections, "connections", cfg.Connections, "connections, spread over one goroutine per CPU")
	flags.IntVar(&cfg.Window, "window", cfg.Window, "requests outstanding per connection")
	flags.IntVar(&cfg.Size, "size", cfg.Size, "`bytes` of a frame, or of a record's value")
	flags.DurationVar(&cfg.Duration, "duration", cfg.Duration, "how long requests are sent")
	flags.StringVar(&cfg.Topic, "topic", cfg.Topic, "produce: made if it is missing; metadata: asked for")
	flags.IntVar(&cfg.Records, "records", cfg.Records, "produce: records in a batch")
	flags.Func("acks", "produce: 0, 1 or all (default all)", func(s string) (err error) {
		if s == "all" {
			cfg.Acks = -1
			return nil
		}
		cfg.Acks, err = strconv.Atoi(s)
		return err
	})
	flags.BoolVar(&opts.json, "json", false, "print the result as JSON")
	flags.BoolVar(&opts.version, "version", false, "print the version and exit")
	return flags, opts
}
