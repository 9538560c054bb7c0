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
	HeartbeatInterval      time.Duration // group.consumer.heartbeat.interval.ms
	Assignors              []string      // group.consumer.assignors
	MaxTransaction         time.Duration // transaction.max.timeout.ms
}

// Registry is what the answers need of the cluster.
type Registry interface {
	Info() cluster.Info
	CoordinationLeader(index int32) int32
	Topic(name string) *cluster.Topic
	TopicByID(id [16]byte) *cluster.Topic
	CatchUp(ctx context.Context) error
	ShowOffsetsTopic(ctx context.Context) error
	ProducerID(ctx context.Context) (int64, error)
}

// API answers requests by the coordinators of the logs that are held here.
type API struct {
	settings Settings
	reg      Registry
	brokers  *cluster.Brokers
	shelf    *coordinator.Shelf // set by Serve, as is the next
	ask      Asker
	log      *slog.Logger
}

// New makes an API. Serve gives it its coordinators.
func New(settings Settings, reg Registry, brokers *cluster.Brokers, log *slog.Logger) *API {
	return &API{settings: settings, reg: reg, brokers: brokers, log: log}
}

// Asker asks other instances (handler.Asker).
type Asker interface {
	Ask(ctx context.Context, service string, broker int32, q kmsg.Request) (kmsg.Response, error)
}

// Service is the name of the service that these apis are of.
const Service = "groups"

// Serve gives the coordinators, which come after the server, which needs the
// mux, which needs this. It must be called before the server runs.
func (a *API) Serve(shelf *coordinator.Shelf, ask Asker) { a.shelf, a.ask = shelf, ask }

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
	m.Handle(protocol.AddPartitionsToTxn, 0, 5, a.addPartitionsToTxn, handler.Ordered)
	m.Handle(protocol.AddOffsetsToTxn, 0, 4, a.addOffsetsToTxn, handler.Ordered)
	m.Handle(protocol.EndTxn, 0, 5, a.endTxn, handler.Ordered)
	m.Handle(protocol.WriteTxnMarkers, 1, 1, a.writeTxnMarkers, handler.Internal)
	m.Handle(protocol.TxnOffsetCommit, 0, 5, a.txnOffsetCommit, handler.Ordered)
	m.Handle(protocol.DescribeTransactions, 0, 0, a.describeTransactions)
	m.Handle(protocol.ListTransactions, 0, 2, a.listTransactions)
	m.Handle(protocol.DeleteGroups, 0, 2, a.deleteGroups)
	m.Handle(protocol.OffsetDelete, 0, 0, a.offsetDelete)
	m.Handle(protocol.ConsumerGroupHeartbeat, 0, 1, a.consumerGroupHeartbeat, handler.Ordered)
	m.Handle(protocol.ConsumerGroupDescribe, 0, 1, a.consumerGroupDescribe)
}

// on has the coordinator of a group answer, wherever it is. f returns the Kafka
// error of its answer. NOT_COORDINATOR means that the log moved away, or was read
// again, while the request was under way: for clients nothing has changed, since
// the broker is the same, so the request follows the log instead. The second
// result is the outcome of a request that belongs to another instance.
func (a *API) on(r *handler.Request, id string, f func(*coordinator.Coordinator) *kerr.Error) (*kerr.Error, error) {
	return a.onLog(r, a.logOf(id), f)
}

// onLog is on for whatever is in a coordination log.
func (a *API) onLog(r *handler.Request, index int32, f func(*coordinator.Coordinator) *kerr.Error) (*kerr.Error, error) {
	begun := time.Now()
	defer func() { r.Waited(time.Since(begun)) }()
	for attempt := 1; ; attempt++ {
		c, err := a.shelf.Log(r, index, r.MustServe && attempt == 1)
		if e, outcome := found(err); e != nil || outcome != nil {
			return e, outcome
		}
		e := f(c)
		switch {
		case e != kerr.NotCoordinator || attempt == maxAttempts:
			return e, nil
		case r.Err() != nil || r.Overtaken(): // nobody waits, or this instance is leaving and nobody else is known, or another has it
			return nil, a.giveBack(index)
		}
		select {
		case <-time.After(time.Duration(attempt) * 5 * time.Millisecond):
		case <-r.Done():
		}
	}
}

// maxAttempts bounds how often a request follows its log in this instance.
const maxAttempts = 10

// giveBack is the outcome of a request that this instance will not answer any
// more. All that it changed here was in memory, and of a log that has moved.
func (a *API) giveBack(index int32) error {
	_, err := a.shelf.Log(context.Background(), index, false)
	if _, outcome := found(err); outcome != nil {
		return outcome
	}
	return handler.ErrNotTaken
}

// found sorts out why there is no coordinator here.
func found(err error) (*kerr.Error, error) {
	var elsewhere *coordinator.ElsewhereError
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &elsewhere):
		return nil, handler.Redirect(elsewhere.Instance)
	}
	return kerr.CoordinatorLoadInProgress, nil
}

// onOwn has the logs of the broker that is asked answer, one after the other;
// those that this instance holds if the connection is for no broker.
func (a *API) onOwn(ctx context.Context, r *handler.Request, f func(*coordinator.Coordinator) *kerr.Error) (*kerr.Error, error) {
	for index := range a.reg.Info().CoordinationLogs {
		if r.Broker > 0 && a.reg.CoordinationLeader(index) != r.Broker {
			continue
		}
		c, err := a.shelf.Log(ctx, index, r.MustServe && r.Broker > 0)
		e, outcome := found(err)
		switch {
		case outcome != nil && r.Broker > 0:
			return nil, outcome
		case outcome != nil:
			continue
		}
		if e == nil {
			e = f(c)
		}
		if e != nil {
			return e, nil
		}
	}
	return nil, nil
}

// logOf is the coordination log that a group or transactional id belongs to.
func (a *API) logOf(id string) int32 { return cluster.GroupLog(id, a.reg.Info().CoordinationLogs) }

// leaderOf is the broker that coordinates a group or transactional id.
func (a *API) leaderOf(id string) int32 { return a.reg.CoordinationLeader(a.logOf(id)) }

// each has the coordinators of several groups answer; f is called for every
// group, with an error if there is no coordinator here. A request goes to
// another instance only if none of its groups is held here: then to the holder
// of the first. Otherwise what is held elsewhere gets NOT_COORDINATOR, as from a
// Kafka broker that was asked about groups of several.
func (a *API) each(r *handler.Request, ids []string, f func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error) error {
	if len(ids) == 1 {
		e, err := a.on(r, ids[0], func(c *coordinator.Coordinator) *kerr.Error { return f(0, c, nil) })
		if e != nil && err == nil {
			f(0, nil, e)
		}
		return err
	}
	begun := time.Now()
	defer func() { r.Waited(time.Since(begun)) }()
	coordinators, errs := make([]*coordinator.Coordinator, len(ids)), make([]*kerr.Error, len(ids))
	var elsewhere error
	here := false
	for i, id := range ids {
		c, err := a.shelf.Group(r, id, r.MustServe)
		e, outcome := found(err)
		if outcome != nil {
			e = kerr.NotCoordinator
			if elsewhere == nil {
				elsewhere = outcome
			}
		}
		coordinators[i], errs[i] = c, e
		here = here || outcome == nil
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
	a.catchUp(ctx)
}

// catchUp makes sure that what other processes have made is known here.
func (a *API) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := a.reg.CatchUp(ctx); err != nil {
		a.log.Warn("cluster could not be looked at again", "err", err)
	}
}

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
