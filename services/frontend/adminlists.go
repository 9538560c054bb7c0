package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"kanal/libs/admin"
	"kanal/libs/socketserver"
)

// Filters are arguments that must be equal to the field of their name.
var (
	connectionFilters = []string{"id", "listener", "principal", "address", "software", "state", "processor"}
	requestFilters    = []string{"api", "where", "service", "handler", "connection", "principal", "address", "client"}
)

func requestFields(r *admin.Request) []string {
	return []string{r.API, r.Where, r.Service, r.Handler, r.Connection, r.Principal, r.Address, r.ClientID}
}

func connectionFields(c *admin.Connection) []string {
	return []string{c.ID, c.Listener, c.Principal, c.Address, c.Software, c.State, strconv.Itoa(c.Processor)}
}

// wanted tells whether all filters that are given fit.
func wanted(q url.Values, filters, fields []string) bool {
	for i, name := range filters {
		if q.Has(name) && q.Get(name) != fields[i] {
			return false
		}
	}
	return true
}

// connections gives a page of the open connections that fit the filters.
func (a *administration) connections(ctx context.Context, q url.Values) (any, error) {
	if err := admin.Known(q, append(connectionFilters, "limit", "after")...); err != nil {
		return nil, err
	}
	limit, err := admin.Limit(q)
	if err != nil {
		return nil, err
	}
	from, err := placeOf(q.Get("after"))
	if err != nil {
		return nil, err
	}
	page, next, err := lookAt(ctx, a, from, limit, func(s socketserver.Seen) (admin.Connection, bool) {
		c := connectionOf(s)
		return c, wanted(q, connectionFilters, connectionFields(&c))
	})
	if err != nil {
		return nil, err
	}
	answer := admin.Connections{FrontEnd: a.frontEnd, Connections: append([]admin.Connection{}, page...)}
	if next != nil {
		answer.Next = fmt.Sprintf("%d.%d", next.Processor, next.Slot)
	}
	return answer, nil
}

var errNotOpen = errors.New("the ports are not open yet")

// lookAt is socketserver.Look once there is something to see.
func lookAt[T any](ctx context.Context, a *administration, from socketserver.Place, most int, visit func(socketserver.Seen) (T, bool)) ([]T, *socketserver.Place, error) {
	select {
	case <-a.opened:
		return socketserver.Look(ctx, a.server, from, most, visit)
	default:
		return nil, nil, errNotOpen
	}
}

func connectionOf(s socketserver.Seen) admin.Connection {
	t := s.Traffic()
	return admin.Connection{
		ID: s.ID, Listener: s.Listener, SecurityProtocol: s.SecurityProtocol, Principal: admin.Cut(s.Principal), Address: s.ClientAddress,
		Software: admin.Cut(s.SoftwareName), SoftwareVersion: admin.Cut(s.SoftwareVersion), Broker: s.Broker, Processor: s.Processor,
		State: s.State(), AgeSeconds: s.Age().Seconds(), Requests: t.Receives, ReceivedBytes: t.ReceivedBytes, SentBytes: t.SentBytes,
	}
}

// placeOf reads what a page gave as its next.
func placeOf(after string) (p socketserver.Place, err error) {
	if after == "" {
		return p, nil
	}
	if n, err := fmt.Sscanf(after, "%d.%d", &p.Processor, &p.Slot); err != nil || n != 2 || p.Processor < 0 || p.Slot < 0 {
		return p, fmt.Errorf("%w: after is %q: must be what a page gave as next", admin.ErrInvalid, after)
	}
	return p, nil
}

// writing gives the requests whose answers have not reached their sockets whole.
func (a *administration) writing(ctx context.Context, most int, want func(*admin.Request) bool) (all []admin.Request, err error) {
	found, _, err := lookAt(ctx, a, socketserver.Place{}, most, func(s socketserver.Seen) (of []admin.Request, some bool) {
		for c := range s.Writing() {
			if pending, ours := c.(completer); ours {
				if r := pending.p.Describe(socketserver.Now()); want(&r) {
					of = append(of, r)
				}
			}
		}
		return of, len(of) > 0
	})
	return slices.Concat(found...), err
}

func oldestOf(all []admin.Request, most int) []admin.Request {
	slices.SortStableFunc(all, func(a, b admin.Request) int { return cmp.Compare(b.AgeSeconds, a.AgeSeconds) })
	return all[:min(most, len(all))]
}
