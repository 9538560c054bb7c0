package kanalctl

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kanal/libs/sasl"
)

func TestUserCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args       []string
		user       string
		mechanisms []string
		iterations int
		says       string // what an error says
	}{
		"set":              {args: []string{"set", "alice"}, user: "alice", mechanisms: scramMechanisms, iterations: sasl.MinIterations},
		"name behind":      {args: []string{"set", "-iterations", "5000", "alice"}, user: "alice", mechanisms: scramMechanisms, iterations: 5000},
		"name between":     {args: []string{"set", "-print", "alice", "-mechanism", "SCRAM-SHA-256"}, user: "alice", mechanisms: []string{"SCRAM-SHA-256"}, iterations: sasl.MinIterations},
		"delete":           {args: []string{"delete", "bob", "-mechanism", "SCRAM-SHA-512,SCRAM-SHA-256"}, user: "bob", mechanisms: scramMechanisms},
		"list":             {args: []string{"list", "-json"}, mechanisms: scramMechanisms},
		"nothing":          {says: "want set, delete or list"},
		"unknown":          {args: []string{"add", "alice"}, says: `"add"`},
		"no name":          {args: []string{"set"}, says: "name"},
		"two names":        {args: []string{"delete", "alice", "bob"}, says: `"bob"`},
		"list of one":      {args: []string{"list", "alice"}, says: `"alice"`},
		"no mechanism":     {args: []string{"set", "alice", "-mechanism", "PLAIN"}, says: "SCRAM-SHA-512 or SCRAM-SHA-256"},
		"few iterations":   {args: []string{"set", "alice", "-iterations", "1"}, says: "1 iterations"},
		"delete has no -p": {args: []string{"delete", "alice", "-print"}, says: "-print"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseUser(c.args, new(bytes.Buffer))
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v does not say %s", err, c.says)
				}
				if err := Run(t.Context(), append([]string{"user"}, c.args...), new(bytes.Buffer)); !errors.Is(err, ErrUsage) {
					t.Fatalf("%v is no mistake of usage", err)
				}
				return
			}
			if err != nil || got.user != c.user || !slices.Equal(got.chosen(), c.mechanisms) || got.iterations != c.iterations {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
	if got, _ := parseUser([]string{"list", "-json"}, nil); !got.out.json {
		t.Error("list -json is a table")
	}
}

// stdin gives the command its standard input.
func stdin(t *testing.T, text string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = f
	t.Cleanup(func() { os.Stdin = before; f.Close() })
}

// What is printed for a credentials file is what servers read there, and proves
// the password without holding it.
func TestUserPrint(t *testing.T) {
	stdin(t, "p,a=s:s\r\nnot this line\n")
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"user", "set", "alice", "-print"}, &out); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 || strings.Contains(out.String(), "p,a=s:s") ||
		!strings.HasPrefix(lines[0], "alice:SCRAM-SHA-512=") || !strings.HasPrefix(lines[1], "alice:SCRAM-SHA-256=") {
		t.Fatalf("printed %q", out.String())
	}
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials, err := sasl.OpenCredentialsFile(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("servers do not read it: %v", err)
	}
	for _, m := range scramMechanisms {
		if _, known := credentials.Scram("alice", m); !known {
			t.Errorf("servers find nothing for %s", m)
		}
	}
}

func TestUserWithoutPassword(t *testing.T) {
	stdin(t, "\n")
	if err := Run(t.Context(), []string{"user", "set", "alice", "-print"}, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "no password") {
		t.Fatal(err)
	}
}

func TestUsersTable(t *testing.T) {
	list := &Users{Cluster: "kanal", Users: []User{{"alice", []string{"SCRAM-SHA-256", "SCRAM-SHA-512"}}, {"bob", []string{"SCRAM-SHA-512"}}}}
	want := strings.TrimPrefix(`
cluster kanal: 2 users

USER   MECHANISMS
alice  SCRAM-SHA-256 SCRAM-SHA-512
bob    SCRAM-SHA-512
`, "\n")
	if got := list.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := (&Users{Cluster: "kanal"}).text(); got != "cluster kanal: 0 users\n" {
		t.Errorf("of none: %q", got)
	}
}
