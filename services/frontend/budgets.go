package frontend

import "log/slog"

// share is a part of the process's memory, within bounds in bytes.
type share struct{ divisor, least, most int64 }

// The shares of budgets that are not set.
var (
	requestShare  = share{4, 16 << 20, 1 << 30}
	responseShare = share{4, 16 << 20, 1 << 30}
	parkedShare   = share{16, 4 << 20, 256 << 20}
	// privilegedShare is what privileged listeners have beside the requests' budget, of that.
	privilegedShare = share{16, 1 << 20, 64 << 20}
)

func (s share) of(memory int64) int64 { return min(max(memory/s.divisor, s.least), s.most) }

// withBudgets gives every budget that is not set its share of memory, in bytes. No request can be larger than the half
// that it has to fit into until it is complete.
func (c Config) withBudgets(memory int64, log *slog.Logger) Config {
	fill := func(budget *int64, s share) {
		if *budget == 0 {
			*budget = s.of(memory)
		}
	}
	fill(&c.QueuedMaxRequestBytes, requestShare)
	fill(&c.ResponseMaxBytes, responseShare)
	fill(&c.ParkedMaxBytes, parkedShare)
	log.Debug("memory budgets", "memory", memory, "requests", c.QueuedMaxRequestBytes, "responses", c.ResponseMaxBytes, "parked", c.ParkedMaxBytes)
	if half := c.QueuedMaxRequestBytes / 2; int64(c.RequestMaxBytes) > half {
		log.Info("requests are limited to half of the memory budget, which is less than KANAL_REQUEST_MAX_BYTES", "memory", memory, "KANAL_REQUEST_MAX_BYTES", c.RequestMaxBytes, "limit", half)
		c.RequestMaxBytes = int(half)
	}
	return c
}
