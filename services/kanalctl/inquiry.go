package kanalctl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	osuser "os/user"
	"strings"
	"time"

	"kanal/libs/admin"
	"kanal/libs/requestchannel"
)

// questions are one command's to front ends and handlers.
type questions struct {
	*session
	view *requestchannel.View
	name string     // the one that is meant, of commands that want one
	args url.Values // of commands with filters
}

// arguments is what a command wants besides flags.
type arguments int

const (
	none arguments = iota
	one
	filters // name=value
)

// inquiry is a command that asks. Errors of some front ends come after what the
// others tell.
func inquiry(name string, wants arguments, run func(*questions, context.Context) (table, error)) func(context.Context, []string, io.Writer) error {
	return func(ctx context.Context, args []string, stdout io.Writer) error {
		q := &questions{args: url.Values{}}
		asJSON, err := q.parse(args, wants)
		if errors.Is(err, flag.ErrHelp) {
			return printUsage(stdout)
		} else if err != nil {
			return fmt.Errorf("%s: %w; %w", name, err, ErrUsage)
		}
		if err := q.open(ctx, output{stdout, asJSON}); err != nil {
			return err
		}
		defer q.end()
		answer, err := run(q, ctx)
		if answer == nil {
			return err
		}
		return errors.Join(q.out.print(answer), err)
	}
}

// parse takes flags anywhere among the arguments.
func (q *questions) parse(args []string, wants arguments) (asJSON bool, err error) {
	flags := newFlags()
	flags.BoolVar(&asJSON, "json", false, "")
	for err = flags.Parse(args); err == nil && flags.NArg() > 0; err = flags.Parse(flags.Args()[1:]) {
		if err = q.take(flags.Arg(0), wants); err != nil {
			return false, err
		}
	}
	if err == nil && wants == one && q.name == "" {
		err = errors.New("which one? want its id")
	}
	return asJSON, err
}

func (q *questions) take(arg string, wants arguments) error {
	key, value, filter := strings.Cut(arg, "=")
	switch {
	case wants == filters && filter && key != "" && key != "after" && key != admin.By:
		q.args.Set(key, value)
	case wants == filters:
		return fmt.Errorf("%q is not filter=value", arg)
	case wants == one && q.name == "" && arg != "":
		q.name = arg
	default:
		return fmt.Errorf("unknown argument %q", arg)
	}
	return nil
}

// open connects and listens until everybody who lives has been heard.
func (q *questions) open(ctx context.Context, out output) (err error) {
	if q.session, err = connect(out); err != nil {
		return err
	}
	if q.view, err = requestchannel.NewView(q.nc, q.subjects(), slog.New(slog.DiscardHandler)); err != nil {
		q.session.close()
		return fmt.Errorf("listen to announcements: %w", err)
	}
	select {
	case <-time.After(listenTime):
		return nil
	case <-ctx.Done():
		q.end()
		return ctx.Err()
	}
}

func (q *questions) end() {
	q.view.Close()
	q.session.close()
}

// ask asks one instance over NATS.
func (q *questions) ask(ctx context.Context, instance, verb string, args url.Values, into any) error {
	args.Set(admin.By, whoami())
	return admin.Ask(ctx, q.nc, q.subjects().Admin(instance), verb, args, into)
}

// askEach asks every front end that lives; f takes each answer.
func askEach[A any](ctx context.Context, q *questions, verb string, f func(*A)) error {
	var errs []error
	frontEnds := q.view.FrontEnds()
	if len(frontEnds) == 0 {
		return fmt.Errorf("no front end lives in %s", q.where())
	}
	for _, fe := range frontEnds {
		answer := new(A)
		if err := q.ask(ctx, fe.ID, verb, q.args, answer); err != nil {
			errs = append(errs, fmt.Errorf("front end %s: %w", fe.ID, err))
			continue
		}
		f(answer)
	}
	return errors.Join(errs...)
}

// whoami names the person for logs, as far as the system knows.
func whoami() string {
	name, host := "somebody", "somewhere"
	if u, err := osuser.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}
