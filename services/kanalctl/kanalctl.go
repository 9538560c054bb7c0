// Package kanalctl is the command line for people: what lives in a cluster, and
// what it keeps. It listens to the announcements by which front ends and handlers
// know each other (libs/requestchannel), reads the cluster's bucket
// (libs/cluster), and asks front ends what only they know (libs/admin). It
// changes nothing but users, broker configs, and what close and drain name.
package kanalctl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"kanal/libs/service"
)

// ErrUsage is wrapped by what is wrong with a command line.
var ErrUsage = errors.New("kanalctl -h explains")

const usage = `Usage: kanalctl status [-json] [-watch]
       kanalctl topics [-json]
       kanalctl frontends [-json]
       kanalctl handlers [-json]
       kanalctl connections [-json] [FILTER=VALUE...]
       kanalctl requests [-json] [FILTER=VALUE...]
       kanalctl close [-json] CONNECTION
       kanalctl drain [-json] HANDLER
       kanalctl user set NAME [-mechanism M,M] [-iterations N] [-print]
       kanalctl user delete NAME [-mechanism M,M]
       kanalctl user list [-json]
       kanalctl config list [-json]
       kanalctl config get|unset [-json] CONFIG...
       kanalctl config set [-json] CONFIG=VALUE...
       kanalctl -version | -h

  status  front ends and handlers that live, and who holds which broker.
          It listens for a bit more than a second, which is how often they
          announce themselves. -watch goes on and prints every change.
  topics  topics with their partitions, logs and configs
  frontends    front ends that live, and where clients reach them
  handlers     handlers that live: state, window, and what they have in hand
  connections  open connections. Filters: id, listener, principal, address,
               software, state, processor; limit=N of each front end (100)
  requests     the oldest requests in flight, their age and where they are.
               Filters: api, where, service, handler, connection, principal,
               address, client; limit=N of each front end (100)
  close        closes the connection with this id
  drain        has a handler finish what it holds, leave, and end its process;
               nothing fails that others can answer
  user    who may log in at listeners with SASL. set takes the password from
          standard input and stores what servers need of it, for SCRAM-SHA-512
          and SCRAM-SHA-256 or those named; the password cannot be read from
          that. A change counts at once, for new logins. -print stores nothing
          and prints lines for a credentials file.
  config  broker configs, which front ends follow while they run: those that are
          set, beside what the front ends' environments say. set and unset
          change all that are named or none, and wait until the front ends tell
          whether they have applied them.

  -json   JSON instead of a table; with -watch one object per line

Environment:
`

// Run executes a command line, without the program's name. Results go to
// stdout. It returns when the command is done, or ctx ends it.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags()
	version := flags.Bool("version", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return printUsage(stdout)
	case err != nil:
		return fmt.Errorf("%w; %w", err, ErrUsage)
	case *version:
		_, err := fmt.Fprintf(stdout, "kanalctl %s (%s)\n", service.Release, service.Revision())
		return err
	case flags.NArg() == 0:
		return fmt.Errorf("no command; %w", ErrUsage)
	}
	return command(ctx, flags.Arg(0), flags.Args()[1:], stdout)
}

// command runs one command with its own flags.
func command(ctx context.Context, name string, args []string, stdout io.Writer) error {
	if run, own := ownArguments[name]; own {
		return run(ctx, args, stdout)
	}
	flags := newFlags()
	asJSON := flags.Bool("json", false, "")
	var watch bool
	var run func(*session) error
	switch name {
	case "status":
		flags.BoolVar(&watch, "watch", false, "")
		run = func(s *session) error { return s.status(ctx, watch) }
	case "topics":
		run = func(s *session) error { return s.topics(ctx) }
	default:
		return fmt.Errorf("unknown command %q; %w", name, ErrUsage)
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return printUsage(stdout)
	} else if err != nil {
		return fmt.Errorf("%s: %w; %w", name, err, ErrUsage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unknown argument %q; %w", name, flags.Arg(0), ErrUsage)
	}
	s, err := connect(output{stdout, *asJSON})
	if err != nil {
		return err
	}
	defer s.close()
	return run(s)
}

// ownArguments are the commands that take more than flags.
var ownArguments = map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
	"user": user, "config": config,
	"frontends": inquiry("frontends", none, (*questions).frontEnds), "handlers": inquiry("handlers", none, (*questions).handlers),
	"connections": inquiry("connections", filters, (*questions).connections), "requests": inquiry("requests", filters, (*questions).requests),
	"close": inquiry("close", one, (*questions).close), "drain": inquiry("drain", one, (*questions).drain),
}

// newFlags is a set of flags that leaves the words to us.
func newFlags() *flag.FlagSet {
	flags := flag.NewFlagSet("kanalctl", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func printUsage(stdout io.Writer) error {
	_, err := io.WriteString(stdout, usage+variables())
	return err
}
