package requestchannel

import (
	"encoding/json"
	"time"

	"kanal/libs/future"
)

// announcer announces this front end. It is owned by the dispatcher, so that
// what it says of draining handlers is what the dispatcher does.
type announcer struct {
	c         *Channel
	number    uint64
	addresses map[string]Address
	config    *FrontEndConfig
	last      int64
	urgent    bool
	draining  map[string]uint64
}

// now makes the next tick announce.
func (a *announcer) now() { a.urgent = true }

// due is how long until the next announcement.
func (a *announcer) due(now int64) time.Duration {
	if a.urgent {
		return 0
	}
	return max(0, time.Duration(a.last)+AnnouncementInterval-time.Duration(now))
}

func (a *announcer) tick(now int64) {
	if a.urgent || now-a.last >= int64(AnnouncementInterval) {
		a.last, a.urgent = now, false
		a.announce(StateReady)
	}
}

// follow notes which handlers are draining; every change is announced at once,
// for those that wait to be seen and those that have just come.
func (a *announcer) follow(handlers []Handler) {
	a.draining = map[string]uint64{}
	for _, h := range handlers {
		if h.State == StateDraining {
			a.draining[h.ID] = h.Number
		}
	}
	a.now()
}

// at announces new addresses at once.
func (a *announcer) at(addresses map[string]Address) {
	if addresses != nil {
		a.addresses = addresses
		a.now()
	}
}

// with announces a new configuration at once.
func (a *announcer) with(config *FrontEndConfig) {
	if config != nil {
		a.config = config
		a.now()
	}
}

func (a *announcer) gone() { a.announce(StateGone) }

func (a *announcer) announce(state string) {
	a.number++
	b, err := json.Marshal(struct {
		FrontEnd
		future.Fields
	}{FrontEnd: FrontEnd{
		Version: AnnouncementVersion, ID: a.c.cfg.FrontEnd, Number: a.number, Release: a.c.cfg.Release,
		State: state, Addresses: a.addresses, Draining: a.draining, Config: a.config,
	}})
	if err == nil {
		err = a.c.nc.Publish(a.c.cfg.FrontEnds(), b)
	}
	if err != nil {
		a.c.log.Debug("announcement not sent", "err", err) // NATS is away; the next one follows
	}
}
