// Package admin is what administrators ask of one running instance and tell it:
// a verb with arguments, answered in JSON. There is one form of it, and two ways
// to an instance: a NATS subject per verb, which kanalctl uses, and the pages of
// its HTTP address.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Verb answers what it is asked, with something for encoding/json. q are the
// arguments, as in a URL.
type Verb func(ctx context.Context, q url.Values) (any, error)

var (
	// ErrInvalid is wrapped by errors of those who ask.
	ErrInvalid = errors.New("admin: invalid argument")
	// ErrNotFound is wrapped where nothing has the name that was given.
	ErrNotFound = errors.New("admin: not found")
)

// By is the argument that says who asks, for logs.
const By = "by"

// Asker is who asks, as far as they tell.
func Asker(q url.Values) string {
	if by := q.Get(By); by != "" {
		return by[:min(len(by), 256)]
	}
	return "somebody"
}

// Limits of pages.
const (
	DefaultLimit = 100
	MaxLimit     = 500 // what fits into a NATS message by far
)

// Limit reads the argument limit, 1 to MaxLimit.
func Limit(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return DefaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxLimit {
		return 0, fmt.Errorf("%w: limit is %q: must be 1 to %d", ErrInvalid, text, MaxLimit)
	}
	return n, nil
}

// Known refuses arguments that a verb does not have: a filter that is misspelt
// would give everything.
func Known(q url.Values, names ...string) error {
	for name := range q {
		if name != By && !slices.Contains(names, name) {
			return fmt.Errorf("%w: there is no %q: want %s", ErrInvalid, name, strings.Join(names, ", "))
		}
	}
	return nil
}

// Need reads an argument that must be there.
func Need(q url.Values, name string) (string, error) {
	if v := q.Get(name); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("%w: %s is missing", ErrInvalid, name)
}
