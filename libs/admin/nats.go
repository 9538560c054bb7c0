package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Timeout bounds how long an instance may take to answer.
const Timeout = 5 * time.Second

// failure is an answer that tells what went wrong.
type failure struct {
	Error  string `json:"error"`
	Status int    `json:"status"`
}

// Serve answers verbs on subject.<verb>, one question after the other, until the
// subscription ends. The message is the arguments as in a URL's query, or
// nothing.
func Serve(nc *nats.Conn, subject string, verbs map[string]Verb, log *slog.Logger) (*nats.Subscription, error) {
	sub, err := nc.Subscribe(subject+".*", func(m *nats.Msg) {
		b, err := json.Marshal(reply(m, strings.TrimPrefix(m.Subject, subject+"."), verbs))
		if err == nil {
			err = m.Respond(b)
		}
		if err != nil {
			log.Warn("could not answer an administrator", "subject", m.Subject, "err", err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to administrators: %w", err)
	}
	return sub, nil
}

func reply(m *nats.Msg, verb string, verbs map[string]Verb) any {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	q, err := url.ParseQuery(string(m.Data))
	do, known := verbs[verb]
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	case !known:
		err = fmt.Errorf("%w: verb %q", ErrNotFound, verb)
	default:
		var answer any
		if answer, err = do(ctx, q); err == nil {
			return answer
		}
	}
	return failure{err.Error(), status(err)}
}

// Ask asks an instance over NATS. Errors wrap ErrInvalid and ErrNotFound as the
// instance's own do, and nats.ErrNoResponders where nobody listens.
func Ask(ctx context.Context, nc *nats.Conn, subject, verb string, q url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout+time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject+"."+verb, []byte(q.Encode()))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", verb, err)
	}
	var failed failure
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return fmt.Errorf("read the answer to %s: %w", verb, err)
	}
	if failed.Error != "" {
		return remote{failed}
	}
	if err := json.Unmarshal(m.Data, into); err != nil {
		return fmt.Errorf("read the answer to %s: %w", verb, err)
	}
	return nil
}

// remote is an instance's error on this side.
type remote struct{ failure }

func (r remote) Error() string { return r.failure.Error }

func (r remote) Is(target error) bool {
	return errors.Is(target, ErrInvalid) && r.Status == status(ErrInvalid) || errors.Is(target, ErrNotFound) && r.Status == status(ErrNotFound)
}
