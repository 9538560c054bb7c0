package api

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/transaction"
)

// ListTransactions, versions 0 to 2. As with groups, a broker lists those that
// it coordinates.
//
//	v1 those that run for longer than a duration (KIP-994)
//	v2 those whose id matches a regular expression (KIP-1152)
func (a *API) listTransactions(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.ListTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	for _, s := range req.StateFilters {
		if !transaction.IsState(s) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, s)
		}
	}
	pattern, err := regexp.Compile("^(?:" + value(req.TransactionalIDPattern) + ")$")
	if err != nil {
		resp.ErrorCode = kerr.InvalidRegularExpression.Code
		return resp, nil
	}
	everything := value(req.TransactionalIDPattern) == ""
	e, err := a.onOwn(ctx, r, func(c *coordinator.Coordinator) *kerr.Error {
		all, e := c.Transactions(ctx)
		for id, t := range all {
			if listed(req, t) && (everything || pattern.MatchString(id)) {
				resp.TransactionStates = append(resp.TransactionStates, kmsg.ListTransactionsResponseTransactionState{
					TransactionalID: id, ProducerID: t.ProducerID, TransactionState: t.State.String(),
				})
			}
		}
		return e
	})
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = code(e); e != nil {
		resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	}
	slices.SortFunc(resp.TransactionStates, func(a, b kmsg.ListTransactionsResponseTransactionState) int {
		return strings.Compare(a.TransactionalID, b.TransactionalID)
	})
	return resp, nil
}

// listed tells whether a transaction passes a request's filters.
func listed(req *kmsg.ListTransactionsRequest, t *transaction.Transaction) bool {
	switch {
	case len(req.StateFilters) > 0 && !slices.Contains(req.StateFilters, t.State.String()):
		return false
	case len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, t.ProducerID):
		return false
	case req.Version >= 1 && req.DurationFilterMillis >= 0:
		return !t.Started.IsZero() && time.Since(t.Started).Milliseconds() >= req.DurationFilterMillis
	}
	return true
}
