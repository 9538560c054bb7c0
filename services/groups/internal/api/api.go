// Package api answers the groups service's apis, one file each, numbered by api
// key. Its Kafka counterparts are the group and transaction handlers of
// KafkaApis.
package api

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/libs/protocol"
	"kanal/services/groups/internal/coordinator"
)

// Settings bound what members may ask for.
type Settings struct {
	MinSession, MaxSession time.Duration // group.min.session.timeout.ms, group.max.session.timeout.ms
	MaxMetadata            int           // offset.metadata.max.bytes
}

// Registry is what the answers need of the cluster.
type Registry interface {
	Info() cluster.Info
	CoordinationLeader(index int32) int32
	Topic(name string) *cluster.Topic
	CatchUp(ctx context.Context) error
	ShowOffsetsTopic(ctx context.Context) error
	ProducerID(ctx context.Context) (int64, error)
}

// API answers requests by the coordinators of the logs that are held here.
type API struct {
	settings Settings
	reg      Registry
	brokers  *cluster.Brokers
	shelf    *coordinator.Shelf // set by Serve
	log      *slog.Logger
}

// New makes an API. Serve gives it its coordinators.
func New(settings Settings, reg Registry, brokers *cluster.Brokers, log *slog.Logger) *API {
	return &API{settings: settings, reg: reg, brokers: brokers, log: log}
}

// Serve gives the coordinators, which come after the server, which needs the
// mux, which needs this. It must be called before the server runs.
func (a *API) Serve(shelf *coordinator.Shelf) { a.shelf = shelf }

// Register puts all apis into the mux: the one place of their versions.
// OffsetCommit starts at 1 and not at Kafka 4's 2: librdkafka up to today takes
// a broker without it for one without consumer groups (rdkafka_feature.c).
func (a *API) Register(m *handler.Mux) {
	m.Handle(protocol.OffsetCommit, 1, 9, a.offsetCommit, handler.Ordered)
	m.Handle(protocol.OffsetFetch, 1, 9, a.offsetFetch)
	m.Handle(protocol.FindCoordinator, 0, 6, a.findCoordinator)
	m.Handle(protocol.JoinGroup, 0, 9, a.joinGroup)
	m.Handle(protocol.Heartbeat, 0, 4, a.heartbeat)
	m.Handle(protocol.LeaveGroup, 0, 5, a.leaveGroup, handler.Ordered)
	m.Handle(protocol.SyncGroup, 0, 5, a.syncGroup)
	m.Handle(protocol.DescribeGroups, 0, 6, a.describeGroups)
	m.Handle(protocol.ListGroups, 0, 5, a.listGroups)
	m.Handle(protocol.InitProducerId, 0, 5, a.initProducerID)
	m.Handle(protocol.DeleteGroups, 0, 2, a.deleteGroups)
	m.Handle(protocol.OffsetDelete, 0, 0, a.offsetDelete)
}

// group finds the coordinator of a group. A Kafka error is for the answer; the
// other one is the outcome of the request: it belongs to another instance.
func (a *API) group(r *handler.Request, id string) (*coordinator.Coordinator, *kerr.Error, error) {
	c, err := a.shelf.Group(r, id, r.MustServe)
	return found(c, err)
}

func found(c *coordinator.Coordinator, err error) (*coordinator.Coordinator, *kerr.Error, error) {
	var elsewhere *coordinator.ElsewhereError
	switch {
	case err == nil:
		return c, nil, nil
	case errors.As(err, &elsewhere):
		return nil, nil, handler.Redirect(elsewhere.Instance)
	}
	return nil, kerr.CoordinatorLoadInProgress, nil
}

// each finds the coordinators of several groups. A request goes to another
// instance only if none of its groups is held here: then to the holder of the
// first. Otherwise f gets NOT_COORDINATOR for what is held elsewhere, as from a
// Kafka broker that was asked about groups of several.
func (a *API) each(r *handler.Request, ids []string, f func(i int, c *coordinator.Coordinator, e *kerr.Error)) error {
	coordinators, errs := make([]*coordinator.Coordinator, len(ids)), make([]*kerr.Error, len(ids))
	var elsewhere error
	here := false
	for i, id := range ids {
		c, e, err := a.group(r, id)
		if err != nil {
			e = kerr.NotCoordinator
			if elsewhere == nil {
				elsewhere = err
			}
		}
		coordinators[i], errs[i] = c, e
		here = here || err == nil
	}
	if !here && elsewhere != nil {
		return elsewhere
	}
	for i := range ids {
		f(i, coordinators[i], errs[i])
	}
	return nil
}

// lookAgain makes sure, before topics are called unknown, that none of them has
// just been made by another process.
func (a *API) lookAgain(ctx context.Context, topics []kmsg.OffsetCommitRequestTopic) {
	if !slices.ContainsFunc(topics, func(t kmsg.OffsetCommitRequestTopic) bool { return a.reg.Topic(t.Topic) == nil }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := a.reg.CatchUp(ctx); err != nil {
		a.log.Warn("cluster could not be looked at again", "err", err)
	}
}

// waited counts the time since begun as waiting for storage or other members.
func waited(r *handler.Request, begun time.Time) { r.Waited(time.Since(begun)) }

func code(e *kerr.Error) int16 {
	if e == nil {
		return 0
	}
	return e.Code
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// host is the client's host as Kafka writes it in descriptions of groups.
func host(r *handler.Request) string {
	if h, _, err := net.SplitHostPort(r.ClientAddress); err == nil {
		return "/" + h
	}
	return "/" + r.ClientAddress
}

// groupOperations are the operations that a group knows, as bits of Kafka's
// AclOperation codes: read, delete, describe. Without an authorizer all are allowed.
const (
	groupOperations = 1<<3 | 1<<6 | 1<<8
	notAsked        = math.MinInt32
)
