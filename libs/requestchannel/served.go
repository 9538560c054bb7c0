package requestchannel

import (
	"sync/atomic"

	"kanal/libs/protocol"
)

// served counts the requests that an instance has ended, by api. Any goroutine
// may add and read.
type served struct {
	byKey [128]servedAPI
	other servedAPI // protocols other than Kafka's
}

// servedAPI is one api's part of it. Failures are the requests that ended with
// a closed connection.
type servedAPI struct{ requests, failures, nanos atomic.Int64 }

func (s *served) of(key protocol.APIKey) *servedAPI {
	if key < 0 || int(key) >= len(s.byKey) {
		return &s.other
	}
	return &s.byKey[key]
}

// add counts a request by its answer; one that was given back is another's.
func (s *served) add(key protocol.APIKey, r *Response) {
	if r.Kind == NotTaken || r.Kind == Redirect {
		return
	}
	a := s.of(key)
	a.requests.Add(1)
	a.nanos.Add(int64(r.Local))
	if r.Kind == CloseConnection {
		a.failures.Add(1)
	}
}
