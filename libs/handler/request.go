package handler

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

// Request is one decoded request with its envelope (RequestContext, L10).
type Request struct {
	*requestchannel.Incoming
	Header   protocol.Header
	ClientID string
	// Body is the decoded body, of the version in the envelope. Its byte slices
	// alias the frame, which stays as it is while anybody refers to it.
	Body kmsg.Request
}

// Park tells the front end that this long poll has been accepted and only
// waits, at most d. It must be called before waiting, at most once.
func (r *Request) Park(d time.Duration) { r.Incoming.Park(d) }

// Waited adds d to the request's remote time: storage, other members.
func (r *Request) Waited(d time.Duration) { r.Incoming.Waited(d) }

// Func answers one api. It may block; ctx ends when the client is gone, when
// the front end stops waiting, and when a draining server wants its long polls
// answered. It returns the response, or one of the outcomes below; any other
// error is logged and closes the connection.
type Func func(ctx context.Context, r *Request) (kmsg.Response, error)

// Outcomes of a Func beside a response.
var (
	// ErrNoResponse ends a request that has no answer: acks=0 (M8).
	ErrNoResponse = errors.New("handler: no response")
	// ErrCloseConnection closes the client's connection, the one signal that a
	// producer with acks=0 gets (M8). A response beside it is not sent, but its
	// errors are counted (M7).
	ErrCloseConnection = errors.New("handler: close connection")
	// ErrNotTaken gives the request back: another instance, or this one later,
	// executes it. Nothing of it may have been executed.
	ErrNotTaken = errors.New("handler: not taken")
)

// redirect is the outcome of a request that is about a broker held elsewhere.
type redirect struct{ instance string }

func (r redirect) Error() string { return "handler: redirect to " + r.instance }

// Redirect gives the request to the instance that holds what it is about.
func Redirect(instance string) error { return redirect{instance} }
