package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
)

// Types of coordinators.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
)

// FindCoordinator, versions 0 to 6.
//
// Coordinator of a group or transactional id is the broker that leads its
// coordination log, at the address of the listener that the request came by.
//
//	v1 key type, error message
//	v4 several keys (KIP-699)
//	v6 share groups (KIP-932), which are not offered
func (a *API) findCoordinator(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if req.CoordinatorType == coordinatorOfGroup {
		if err := a.reg.ShowOffsetsTopic(ctx); err != nil {
			a.log.Warn("internal topic is not shown yet", "err", err) // the next request tries again
		}
	}
	info := a.reg.Info()
	brokers, err := a.brokers.List(ctx, r.Listener, info.Brokers)
	if err != nil {
		return nil, err
	}
	if req.Version >= 4 {
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, a.coordinatorOf(req, key, info, brokers))
		}
		return resp, nil
	}
	c := a.coordinatorOf(req, req.CoordinatorKey, info, brokers)
	resp.NodeID, resp.Host, resp.Port, resp.ErrorCode, resp.ErrorMessage = c.NodeID, c.Host, c.Port, c.ErrorCode, c.ErrorMessage
	return resp, nil
}

func (a *API) coordinatorOf(req *kmsg.FindCoordinatorRequest, key string, info cluster.Info, brokers []cluster.Broker) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key = key
	if kind := req.CoordinatorType; kind != coordinatorOfGroup && kind != coordinatorOfTransaction {
		c.NodeID, c.Port = -1, -1
		c.ErrorCode, c.ErrorMessage = kerr.InvalidRequest.Code, &kerr.InvalidRequest.Description
		return c
	}
	leader := a.reg.CoordinationLeader(cluster.GroupLog(key, info.CoordinationLogs))
	if int(leader) > len(brokers) { // the number of brokers has just changed
		c.NodeID, c.Port = -1, -1
		c.ErrorCode, c.ErrorMessage = kerr.CoordinatorNotAvailable.Code, &kerr.CoordinatorNotAvailable.Description
		return c
	}
	b := brokers[leader-1]
	c.NodeID, c.Host, c.Port = b.ID, b.Host, b.Port
	return c
}
