package kanalctl

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"kanal/libs/cluster"
	"kanal/libs/sasl"
)

// userCommand is one of the commands about users.
type userCommand struct {
	name, user string
	mechanisms []string // empty: both
	iterations int
	show       bool
	out        output
}

// user runs kanalctl user set|delete|list.
func user(ctx context.Context, args []string, stdout io.Writer) error {
	c, err := parseUser(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return printUsage(stdout)
	case err != nil:
		return fmt.Errorf("user: %w; %w", err, ErrUsage)
	case c.name == "set":
		return c.set(ctx)
	case c.name == "delete":
		return c.inCluster(ctx, c.delete)
	}
	return c.inCluster(ctx, c.list)
}

func parseUser(args []string, stdout io.Writer) (*userCommand, error) {
	c := &userCommand{out: output{Writer: stdout}}
	flags := newFlags()
	if len(args) == 0 {
		return nil, errors.New("want set, delete or list")
	}
	var mechanism string
	switch c.name = args[0]; c.name {
	case "set":
		flags.StringVar(&mechanism, "mechanism", "", "")
		flags.IntVar(&c.iterations, "iterations", sasl.MinIterations, "")
		flags.BoolVar(&c.show, "print", false, "")
	case "delete":
		flags.StringVar(&mechanism, "mechanism", "", "")
	case "list":
		flags.BoolVar(&c.out.json, "json", false, "")
	default:
		return nil, fmt.Errorf("unknown command %q", c.name)
	}
	rest, err := c.takeName(args[1:])
	if err == nil {
		err = flags.Parse(rest)
	}
	if err == nil && c.user == "" && flags.NArg() > 0 && c.name != "list" {
		c.user = flags.Arg(0)
		err = flags.Parse(flags.Args()[1:])
	}
	if err != nil {
		return nil, err
	}
	return c, c.check(mechanism, flags)
}

// takeName takes a name that stands before the flags.
func (c *userCommand) takeName(args []string) ([]string, error) {
	if c.name != "list" && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.user = args[0]
		return args[1:], nil
	}
	return args, nil
}

func (c *userCommand) check(mechanism string, flags *flag.FlagSet) error {
	if mechanism != "" {
		c.mechanisms = strings.Split(mechanism, ",")
	}
	for _, m := range c.mechanisms {
		if !slices.Contains(scramMechanisms, m) {
			return fmt.Errorf("mechanism %q: want %s", m, strings.Join(scramMechanisms, " or "))
		}
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if c.name == "list" {
		return nil
	}
	if c.name == "set" && (c.iterations < sasl.MinIterations || c.iterations > sasl.MaxIterations) {
		return fmt.Errorf("%d iterations: want %d to %d", c.iterations, sasl.MinIterations, sasl.MaxIterations)
	}
	return cluster.ValidateUserName(c.user)
}

var scramMechanisms = []string{sasl.ScramSHA512, sasl.ScramSHA256}

// chosen are the mechanisms meant, all where none was named.
func (c *userCommand) chosen() []string {
	if len(c.mechanisms) == 0 {
		return scramMechanisms
	}
	return c.mechanisms
}

// set stores what servers need of a password, or prints it as lines of a
// credentials file.
func (c *userCommand) set(ctx context.Context) error {
	password, err := readPassword(os.Stdin, os.Stderr)
	if err != nil {
		return err
	}
	credentials := map[string]sasl.ScramCredential{}
	for _, m := range c.chosen() {
		if credentials[m], err = sasl.NewScramCredential(m, password, c.iterations); err != nil {
			return err
		}
	}
	if !c.show {
		return c.inCluster(ctx, func(ctx context.Context, r *cluster.Registry) error { return c.store(ctx, r, credentials) })
	}
	for _, m := range c.chosen() {
		credential := credentials[m]
		if _, err := fmt.Fprintf(c.out, "%s:%s=%s\n", c.user, m, credential.String()); err != nil {
			return err
		}
	}
	return nil
}

func (c *userCommand) store(ctx context.Context, r *cluster.Registry, credentials map[string]sasl.ScramCredential) error {
	_, err := r.UpdateUser(ctx, c.user, func(u *cluster.User) error {
		for m, credential := range credentials {
			u.Scram[m] = cluster.ScramCredential(credential)
		}
		return nil
	})
	return err
}

// delete removes a user, or some of a user's credentials.
func (c *userCommand) delete(ctx context.Context, r *cluster.Registry) error {
	_, err := r.UpdateUser(ctx, c.user, func(u *cluster.User) error {
		before := len(u.Scram)
		for _, m := range c.chosen() {
			delete(u.Scram, m)
		}
		if len(u.Scram) == before {
			return fmt.Errorf("%w: %q has no such credential", cluster.ErrUnknownUser, c.user)
		}
		return nil
	})
	return err
}

// Users lists a cluster's users.
type Users struct {
	Cluster string `json:"cluster"`
	Users   []User `json:"users"` // by name
}

// User is one user; of its credentials no more is shown than that they exist.
type User struct {
	Name       string   `json:"name"`
	Mechanisms []string `json:"mechanisms"`
}

func (c *userCommand) list(_ context.Context, r *cluster.Registry) error {
	list := &Users{Cluster: r.Cluster(), Users: []User{}}
	for _, u := range r.Users() {
		list.Users = append(list.Users, User{u.Name, u.Mechanisms()})
	}
	return c.out.print(list)
}

func (l *Users) text() string {
	heading := fmt.Sprintf("cluster %s: %s\n", l.Cluster, count(len(l.Users), "user"))
	if len(l.Users) == 0 {
		return heading
	}
	rows := [][]string{{"USER", "MECHANISMS"}}
	for _, u := range l.Users {
		rows = append(rows, []string{u.Name, strings.Join(u.Mechanisms, " ")})
	}
	return heading + "\n" + columns(rows)
}

func (c *userCommand) inCluster(ctx context.Context, do func(context.Context, *cluster.Registry) error) error {
	s, err := connect(c.out)
	if err != nil {
		return err
	}
	defer s.close()
	registry, err := s.registry(ctx)
	if err != nil {
		return err
	}
	defer registry.Close()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return do(ctx, registry)
}

// readPassword takes the first line of what is not a terminal; at a terminal it
// asks, and shows nothing of what is typed. Arguments would be seen by everybody
// on the machine.
func readPassword(in, prompt *os.File) (string, error) {
	var password string
	if fd := int(in.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(prompt, "password: ")
		typed, err := term.ReadPassword(fd)
		fmt.Fprintln(prompt)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		password = string(typed)
	} else {
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	if password == "" {
		return "", errors.New("no password on standard input")
	}
	return password, nil
}
