package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// Endpoint types of DescribeCluster (KIP-919).
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// DescribeCluster, versions 0 to 2.
//
//	v1 endpoint type: there are no controllers to describe here
//	v2 fenced brokers: there are none
func (a *API) describeCluster(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.DescribeClusterRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	info := a.reg.Info()
	resp.ClusterID = info.ClusterID
	resp.EndpointType = endpointBrokers
	resp.ClusterAuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	if e := endpointError(req); e != nil {
		resp.ErrorCode, resp.ErrorMessage = e.Code, &e.Description
		resp.ControllerID = -1
		return resp, nil
	}
	brokers, err := a.brokers.List(ctx, r.Listener, info.Brokers)
	if err != nil {
		return nil, err
	}
	resp.ControllerID = controller
	for _, b := range brokers {
		rb := kmsg.NewDescribeClusterResponseBroker()
		rb.NodeID, rb.Host, rb.Port = b.ID, b.Host, b.Port
		resp.Brokers = append(resp.Brokers, rb)
	}
	return resp, nil
}

func endpointError(req *kmsg.DescribeClusterRequest) *kerr.Error {
	switch {
	case req.Version < 1 || req.EndpointType == endpointBrokers:
		return nil
	case req.EndpointType == endpointControllers:
		return kerr.MismatchedEndpointType
	}
	return kerr.UnsupportedEndpointType
}
