package sasl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// CredentialsFile is a file of credentials that is read again when it changes. One line is one credential:
//
//	# a comment
//	alice:SCRAM-SHA-512=salt=...,stored_key=...,server_key=...,iterations=4096
//	bob:PLAIN=password
//
// The password of a PLAIN line is all that follows, and is good for PLAIN alone; a SCRAM line is good for its mechanism
// and for PLAIN.
type CredentialsFile struct {
	path string
	log  *slog.Logger
	now  atomic.Pointer[table]
	seen stamp // of the file as it was read; Follow's
}

// table is the content of a file. It is immutable.
type table struct {
	scram     map[string]ScramCredential // by mechanism and user
	passwords map[string]string
}

// stamp tells one content of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	inode    fs.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.modified.Equal(o.modified) && s.size == o.size && os.SameFile(s.inode, o.inode)
}

// OpenCredentialsFile reads a file; errors name its lines and repeat nothing of them.
func OpenCredentialsFile(path string, log *slog.Logger) (*CredentialsFile, error) {
	f := &CredentialsFile{path: path, log: log}
	seen, err := f.read()
	f.seen = seen
	return f, err
}

// read replaces the table, unless something is wrong with the file.
func (f *CredentialsFile) read() (stamp, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return stamp{}, err
	}
	seen := stamp{info.ModTime(), info.Size(), info} // before reading: a change in between is read again
	content, err := os.ReadFile(f.path)
	if err != nil {
		return seen, err
	}
	t, err := parseCredentials(string(content))
	if err != nil {
		return seen, fmt.Errorf("%s: %w", f.path, err)
	}
	f.now.Store(t)
	return seen, nil
}

// lookEvery is how often Follow looks at the file.
const lookEvery = time.Second

// Follow reads the file again whenever it has changed, until ctx ends. What cannot be read leaves all as it was.
func (f *CredentialsFile) Follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.look()
		case <-ctx.Done():
			return
		}
	}
}

func (f *CredentialsFile) look() {
	info, err := os.Stat(f.path)
	if err != nil || f.seen.same(stamp{info.ModTime(), info.Size(), info}) {
		return // a file that is gone is being replaced
	}
	if f.seen, err = f.read(); err != nil {
		f.log.Error("credentials file not read again; those of before hold", "err", err)
		return
	}
	f.log.Info("credentials file read again", "file", f.path)
}

// Scram implements Credentials.
func (f *CredentialsFile) Scram(user, mechanism string) (ScramCredential, bool) {
	c, ok := f.now.Load().scram[mechanism+":"+user]
	return c, ok
}

// Password implements Credentials.
func (f *CredentialsFile) Password(user string) (string, bool) {
	p, ok := f.now.Load().passwords[user]
	return p, ok
}

func parseCredentials(content string) (*table, error) {
	t := &table{map[string]ScramCredential{}, map[string]string{}}
	var errs []error
	line := 0
	for text := range strings.Lines(content) {
		line++
		text = strings.TrimRight(text, "\r\n")
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := t.add(text); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", line, err))
		}
	}
	return t, errors.Join(errs...)
}

var errLine = errors.New("want user:PLAIN=password, user:SCRAM-SHA-256=..., or user:SCRAM-SHA-512=... as the value")

// add takes one line.
func (t *table) add(text string) error {
	user, mechanism, value := splitLine(text)
	switch {
	case user == "":
		return errLine
	case mechanism == Plain && value == "":
		return errors.New("no password")
	case t.has(user, mechanism):
		return errors.New("a second credential for the same user and mechanism")
	case mechanism == Plain:
		t.passwords[user] = value
		return nil
	}
	c, err := ParseScramCredential(mechanism, value)
	t.scram[mechanism+":"+user] = c
	return err
}

func (t *table) has(user, mechanism string) bool {
	if mechanism == Plain {
		_, ok := t.passwords[user]
		return ok
	}
	_, ok := t.scram[mechanism+":"+user]
	return ok
}

// splitLine cuts at the first ":MECHANISM=": a user's name may hold colons.
func splitLine(text string) (user, mechanism, value string) {
	at := len(text)
	for _, m := range []string{Plain, ScramSHA256, ScramSHA512} {
		if i := strings.Index(text, ":"+m+"="); i >= 0 && i < at {
			at, user, mechanism, value = i, text[:i], m, text[i+len(m)+2:]
		}
	}
	return user, mechanism, value
}
