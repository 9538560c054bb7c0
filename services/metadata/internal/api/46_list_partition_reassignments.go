package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
)

// ListPartitionReassignments, version 0 (KIP-455): there never is one.
func (a *API) listPartitionReassignments(_ context.Context, r *handler.Request) (kmsg.Response, error) {
	resp := r.Body.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	resp.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{}
	return resp, nil
}
