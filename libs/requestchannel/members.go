package requestchannel

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"kanal/libs/protocol"
)

// processViewChange follows the announcements: instances, their windows, the
// table of versions.
func (d *dispatcher) processViewChange() {
	if !d.in.viewChanged {
		return
	}
	d.views++
	for _, i := range d.instances {
		i.seen = false
	}
	handlers := d.c.view.Handlers()
	for n := range handlers {
		d.meet(&handlers[n])
	}
	for _, i := range d.instances {
		if !i.seen && i.state == StateGone {
			d.lose(i, "left")
		} else if !i.seen {
			d.lose(i, "silent")
		}
	}
	d.learnVersions(handlers)
	d.announcer.follow(handlers)
}

// meet takes in the announcement of an instance.
func (d *dispatcher) meet(h *Handler) {
	i := d.instances[h.ID]
	if i == nil && h.State != StateReady {
		return // nothing will be sent there, and nothing is owed
	}
	if i == nil {
		i = &instance{id: h.ID, subject: d.c.cfg.Request(h.ID), service: d.routes.get(h.Service).service, session: h.Session, heard: d.now}
		d.instances[h.ID], d.bySubject[i.subject] = i, i
		i.service.instances = append(i.service.instances, i)
		d.c.log.Info("met a handler", "handler", h.ID, "service", h.Service, "window", h.Window, "release", h.Release)
	}
	i.service.meet(h)
	if h.Session != i.session {
		i.session = h.Session
		d.redispatch(func(p *Pending) bool { return p.instance == i }, "handler_reconnected")
	}
	i.state, i.share, i.number = h.State, h.Share(), h.Number
	if d.privileged {
		i.kept = keptOf(i.share)
	}
	// One that is gone and still owes has its answers under way; if not, the
	// probe finds nobody there.
	i.seen = h.State != StateGone || i.owes()
	if i.service.affinity != h.Affinity {
		i.service.affinity = h.Affinity
		r := d.routes.get(h.Service)
		r.requeueAll()
		r.twin.requeueAll()
	}
}

// keepWindows keeps a part of every window for privileged listeners.
func (d *dispatcher) keepWindows() {
	d.privileged = true
	for _, i := range d.instances {
		i.kept = keptOf(i.share)
	}
}

// lose takes an instance out and gives what it owes to others.
func (d *dispatcher) lose(i *instance, why string) {
	d.views++
	delete(d.instances, i.id)
	delete(d.bySubject, i.subject)
	i.service.instances = slices.DeleteFunc(i.service.instances, func(o *instance) bool { return o == i })
	d.c.cfg.Metrics.lost.WithLabelValues(i.service.name, why).Inc()
	level := slog.LevelWarn
	if i.state == StateGone {
		level = slog.LevelInfo
	}
	d.c.log.Log(context.Background(), level, "lost a handler", "handler", i.id, "service", i.service.name, "reason", why, "owed", i.outstanding+i.parked)
	d.redispatch(func(p *Pending) bool { return p.instance == i }, why)
}

// learnVersions keeps the table of what each service answers: what all its live
// instances answer, or what was known before where none is live.
func (d *dispatcher) learnVersions(handlers []Handler) {
	live := map[string]protocol.Ranges{}
	for _, h := range handlers {
		if h.State != StateReady {
			continue
		}
		if r, more := live[h.Service]; more {
			live[h.Service] = r.Intersect(h.APIs)
		} else {
			live[h.Service] = h.APIs
		}
	}
	changed := false
	for service, r := range live {
		if maps.Equal(d.known[service], r) {
			continue
		}
		d.known[service], changed = r, true
		if d.c.cfg.OnVersions != nil {
			d.c.cfg.OnVersions(service, r)
		}
	}
	if changed {
		d.c.table.Store(newTable(d.routes, d.known))
	}
}

// processDeaf handles NATS' word that nobody listens on a subject: the instance
// was killed, or cut off, and what it owes goes to others.
func (d *dispatcher) processDeaf() {
	for _, subject := range d.in.deaf {
		if i := d.bySubject[subject]; i != nil {
			d.c.view.Ban(i.id, i.number)
			d.lose(i, "no_subscriber")
		}
	}
}

// ban sends i nothing more until it announces itself with a number above
// number; the view tells when.
func (d *dispatcher) ban(i *instance, number uint64) {
	d.refreshNumbers()
	if i.number > number {
		return
	}
	i.state = StateDraining
	d.views++
	d.c.view.Ban(i.id, number)
	d.c.inbox.put(func(in *inbox) { in.viewChanged = true })
}
