package kanalctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
)

// Status is what lives in a cluster at one moment.
type Status struct {
	Cluster string `json:"cluster"`
	// ClusterID and Brokers are empty where NATS keeps no such cluster: its
	// services hold nothing, or have never started.
	ClusterID string `json:"clusterId,omitempty"`
	Brokers   int32  `json:"brokers,omitempty"`
	// NATSAway says that NATS cannot be reached: the rest is what was seen last.
	NATSAway  bool                      `json:"natsAway,omitempty"`
	FrontEnds []requestchannel.FrontEnd `json:"frontEnds"` // by id
	Handlers  []Handler                 `json:"handlers"`  // by service, then id
}

// Handler is a handler instance: what it announces, and what follows from that.
type Handler struct {
	requestchannel.Handler
	// Share is how many requests one front end may have outstanding here.
	Share int `json:"share"`
	// Holds are the brokers whose requests come to this instance, of services
	// with affinity by broker.
	Holds []int32 `json:"holds,omitempty"`
}

// listenTime is how long it takes to hear everybody who lives.
const listenTime = requestchannel.AnnouncementInterval + 250*time.Millisecond

// lookout follows what lives.
type lookout struct {
	*session
	view     *requestchannel.View
	registry *cluster.Registry // nil while NATS keeps no such cluster
}

// status prints what lives, once or at every change.
func (s *session) status(ctx context.Context, watch bool) error {
	view, err := requestchannel.NewView(s.nc, s.subjects(), slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("listen to announcements: %w", err)
	}
	l := &lookout{session: s, view: view}
	defer l.close()
	if err := l.open(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(listenTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	if watch {
		return l.watch(ctx)
	}
	return s.out.print(l.look())
}

// open finds the cluster's registry, if there is one by now.
func (l *lookout) open(ctx context.Context) (err error) {
	if l.registry != nil {
		return nil
	}
	if l.registry, err = l.session.registry(ctx); errors.Is(err, errNoCluster) {
		return nil
	}
	return err
}

func (l *lookout) close() {
	l.view.Close()
	if l.registry != nil {
		l.registry.Close()
	}
}

// look makes a Status of what is known now.
func (l *lookout) look() *Status {
	st := &Status{Cluster: l.cfg.Cluster, NATSAway: !l.nc.IsConnected(), FrontEnds: l.view.FrontEnds(), Handlers: []Handler{}}
	if l.registry != nil {
		st.ClusterID, st.Brokers = l.registry.Info().ClusterID, l.registry.Info().Brokers
	}
	for _, h := range l.view.Handlers() {
		if h.State != requestchannel.StateGone {
			st.Handlers = append(st.Handlers, Handler{Handler: h, Share: h.Share(), Holds: holds(l.view, &h, st.Brokers)})
		}
	}
	slices.SortStableFunc(st.Handlers, func(a, b Handler) int { return cmp.Compare(a.Service, b.Service) })
	return st
}

// holds lists the brokers that an instance holds.
func holds(view *requestchannel.View, h *requestchannel.Handler, brokers int32) (held []int32) {
	if h.Affinity != requestchannel.AffinityByBroker {
		return nil
	}
	for b := int32(1); b <= brokers; b++ {
		if id, ok := view.Holder(h.Service, b); ok && id == h.ID {
			held = append(held, b)
		}
	}
	return held
}
