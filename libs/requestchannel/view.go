package requestchannel

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// AnnouncementInterval is how often instances announce themselves without a reason.
const AnnouncementInterval = time.Second

// AnnouncementTimeout is how long an instance lives without an announcement.
const AnnouncementTimeout = 2 * time.Second

// View is the living cluster as announcements show it. Its methods may be
// called from any goroutine.
type View struct {
	subjects Subjects
	log      *slog.Logger

	mu        sync.Mutex
	handlers  map[string]*liveHandler
	frontEnds map[string]*liveFrontEnd
	onChange  []func()

	// heard rises with every announcement of a handler, so that whoever needs
	// the newest numbers sees cheaply that there are some.
	heard atomic.Uint64

	nc   *nats.Conn
	subs []*nats.Subscription
	stop chan struct{}
	done chan struct{}
}

type liveHandler struct {
	Handler
	heard time.Time
	// after is the announcement number that ends a ban: the instance was found
	// dead or refused a request, and counts again with a newer announcement.
	after uint64
}

type liveFrontEnd struct {
	FrontEnd
	heard time.Time
}

func (h *liveHandler) ready() bool { return h.State == StateReady && h.Number > h.after }

// NewView subscribes to the announcements of a cluster. Close ends it.
func NewView(nc *nats.Conn, subjects Subjects, log *slog.Logger) (*View, error) {
	v := &View{
		subjects: subjects, log: log, nc: nc,
		handlers: map[string]*liveHandler{}, frontEnds: map[string]*liveFrontEnd{},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	for subject, heard := range map[string]nats.MsgHandler{
		subjects.Handlers(): v.heardHandler, subjects.FrontEnds(): v.heardFrontEnd,
	} {
		sub, err := nc.Subscribe(subject, heard)
		if err != nil {
			v.unsubscribe()
			return nil, err
		}
		v.subs = append(v.subs, sub)
	}
	go v.expire()
	return v, nil
}

// Close ends the view's subscriptions.
func (v *View) Close() {
	v.unsubscribe()
	close(v.stop)
	<-v.done
}

func (v *View) unsubscribe() {
	for _, sub := range v.subs {
		_ = sub.Unsubscribe() // fails only when the connection is gone, and the subscription with it
	}
}

// OnChange calls f after each change of membership, state or window, on a
// goroutine of the view: f must not block.
func (v *View) OnChange(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.onChange = append(v.onChange, f)
}

func (v *View) heardHandler(m *nats.Msg) {
	h, err := parseHandler(m.Data)
	if err != nil {
		v.log.Warn("ignored an announcement", "subject", m.Subject, "err", err)
		return
	}
	v.mu.Lock()
	changed := v.putHandler(h, time.Now())
	v.mu.Unlock()
	v.heard.Add(1)
	if changed {
		v.changed()
	}
}

// putHandler takes an announcement in and tells whether anything but its
// number changed. One that is older than what is known arrives after a
// reconnect and is dropped. One that is gone stays until it would be forgotten:
// its last answers may arrive after its last announcement.
func (v *View) putHandler(h *Handler, now time.Time) bool {
	old := v.handlers[h.ID]
	if old != nil && h.Number <= old.Number {
		return false
	}
	l := &liveHandler{Handler: *h, heard: now}
	if old != nil {
		l.after = old.after
	}
	v.handlers[h.ID] = l
	return old == nil || !old.ready() && l.ready() || old.State != h.State || old.Session != h.Session ||
		old.Share() != h.Share() || old.Affinity != h.Affinity || !maps.Equal(old.APIs, h.APIs)
}

func (v *View) heardFrontEnd(m *nats.Msg) {
	f, err := parseFrontEnd(m.Data)
	if err != nil {
		v.log.Warn("ignored an announcement", "subject", m.Subject, "err", err)
		return
	}
	v.mu.Lock()
	old := v.frontEnds[f.ID]
	changed := old == nil || old.State != f.State || !maps.Equal(old.Draining, f.Draining) || !maps.Equal(old.Addresses, f.Addresses) ||
		!reflect.DeepEqual(old.Config, f.Config)
	switch {
	case old != nil && f.Number <= old.Number:
		changed = false
	case f.State == StateGone:
		delete(v.frontEnds, f.ID)
		changed = old != nil
	default:
		v.frontEnds[f.ID] = &liveFrontEnd{*f, time.Now()}
	}
	v.mu.Unlock()
	if changed {
		v.changed()
	}
}

func (v *View) changed() {
	v.mu.Lock()
	fs := v.onChange
	v.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// Ban takes a handler out until it announces itself with a number above number.
func (v *View) Ban(id string, number uint64) {
	v.mu.Lock()
	h := v.handlers[id]
	changed := h != nil && h.ready() && h.Number <= number
	if h != nil {
		h.after = max(h.after, number)
	}
	v.mu.Unlock()
	if changed {
		v.changed()
	}
}

// Handlers lists the handler instances by id, those included that have just
// gone. One that is banned shows as draining: it takes nothing, and may still
// finish what it has.
func (v *View) Handlers() []Handler {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make([]Handler, 0, len(v.handlers))
	for _, h := range v.handlers {
		c := h.Handler
		if c.State == StateReady && !h.ready() {
			c.State = StateDraining
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Handler) int { return compareStrings(a.ID, b.ID) })
	return out
}

// numbers gives the newest announcement number of each handler.
func (v *View) numbers(f func(id string, number uint64)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, h := range v.handlers {
		f(id, h.Number)
	}
}

// FrontEnds lists the live front ends by id.
func (v *View) FrontEnds() []FrontEnd {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make([]FrontEnd, 0, len(v.frontEnds))
	for _, f := range v.frontEnds {
		out = append(out, f.FrontEnd)
	}
	slices.SortFunc(out, func(a, b FrontEnd) int { return compareStrings(a.ID, b.ID) })
	return out
}

func (v *View) hasFrontEnd(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frontEnds[id] != nil
}
