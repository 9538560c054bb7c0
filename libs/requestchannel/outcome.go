package requestchannel

import "slices"

// release takes p away from the instance that has it.
func (d *dispatcher) release(p *Pending) {
	switch p.state {
	case outstanding:
		p.instance.gave(p)
	case parked:
		p.instance.parked--
		p.metrics.parked--
		d.parked -= int64(p.size)
		p.route.budget.Hold(p.size)
		d.c.cfg.Metrics.parked.Dec()
	}
	if p.onTheWay+p.parkedGrant > 0 {
		d.grants.settle(p, 0)
	}
	p.instance = nil
}

// again queues p before the others. Where its frame was let go its connection
// closes.
func (d *dispatcher) again(p *Pending) {
	if p.state == queued {
		return
	}
	if p.state == parked {
		p.deadline = d.now + int64(d.c.cfg.RequestTimeout)
		d.wheel.remove(p)
		d.wheel.add(p)
	}
	if p.message == nil {
		d.outcome(p, Outcome{Kind: CloseConnection, Reason: ClosedFrameLetGo})
		return
	}
	d.release(p)
	p.dispatched = 0
	if p.target != "" && !d.takesRedirects(p.target) {
		p.target = ""
	}
	p.route.waiting.stay(p.client, p.size)
	p.route.enqueue(p, true)
}

// redispatch queues again what an instance had, marked as redelivered: it may
// have been executed.
func (d *dispatcher) redispatch(which func(*Pending) bool, why string) {
	var some []*Pending
	for _, p := range d.pendings {
		if (p.state == outstanding || p.state == parked) && which(p) {
			some = append(some, p)
		}
	}
	// Newest first, because each goes before the others.
	slices.SortFunc(some, func(a, b *Pending) int { return int(b.received - a.received) })
	for _, p := range some {
		p.Redelivered, p.assembly = true, nil
		d.c.cfg.Metrics.redispatched.WithLabelValues(p.route.name, why).Inc()
		d.again(p)
	}
}

// outcome ends p and keeps what its processor has to do for deliver.
func (d *dispatcher) outcome(p *Pending, o Outcome) {
	p.reason, p.responseSize = o.Reason, len(o.Frame)
	o.Token, o.Sequence, o.Pending = p.Token, p.sequence, d.finish(p)
	if len(p.lane.outcomes) == 0 {
		d.answered = append(d.answered, p.lane)
	}
	p.lane.outcomes = append(p.lane.outcomes, o)
}

// finish takes p out of everything: it has its outcome.
func (d *dispatcher) finish(p *Pending) *Pending {
	if p.state == held {
		d.leave(p)
	} else if p.state == queued && p.queue != nil {
		p.route.leave(p)
		d.leave(p)
	}
	d.release(p)
	p.route.budget.Release(p.size)
	d.c.inside.Add(-1)
	d.wheel.remove(p)
	p.metrics.underWay.remove(p)
	delete(d.pendings, p.ID)
	d.unlink(p)
	p.state = answered
	p.sending.drop()
	p.letGo()
	return p
}
