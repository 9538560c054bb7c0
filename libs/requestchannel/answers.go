package requestchannel

import "time"

// processArrived takes in what handlers answered. The first answer wins.
func (d *dispatcher) processArrived() {
	for n := range d.in.arrived {
		a := &d.in.arrived[n]
		p := d.pendings[a.ID]
		if p == nil || p.Token != a.Token || p.state == queued && a.Kind > CloseConnection {
			d.c.cfg.Metrics.late.Inc()
			continue
		}
		if p.instance != nil && a.Attempt == p.Attempt {
			p.instance.heard = d.now
		} else if a.Kind > CloseConnection || a.Parts > 1 {
			d.c.cfg.Metrics.late.Inc() // concerns an earlier dispatch only
			continue
		}
		p.arrived = a.at
		d.take(p, &a.Response)
	}
}

func (d *dispatcher) take(p *Pending, r *Response) {
	switch r.Kind {
	case Send:
		d.takeFrame(p, r)
	case NoOp, CloseConnection:
		p.answer(r)
		d.outcome(p, Outcome{Kind: r.Kind, Throttle: r.Throttle})
	case Redirect:
		d.takeRedirect(p, r.Target)
	case Parked:
		d.park(p, r.Deadline)
	case NotTaken:
		d.c.cfg.Metrics.notTaken.Inc()
		if p.state == parked && (p.half || d.endPolls) {
			d.outcome(p, Outcome{Kind: CloseConnection}) // it was told to end, and has nothing to say
			return
		}
		if p.state != parked { // a long poll has woken up, and needs a grant
			d.ban(p.instance, p.Announcement)
		}
		d.again(p)
	}
}

// takeFrame delivers an answer, or adds a part of one.
func (d *dispatcher) takeFrame(p *Pending, r *Response) {
	if r.Parts > 1 {
		if p.assembly == nil || r.Part == 0 {
			p.assembly = new(assembly)
		}
		done, err := p.assembly.add(r.Part, r.Parts, r.Total, r.Frame)
		if err != nil {
			// Parts were lost on the way: the whole answer is asked for again.
			d.c.log.Warn("lost a part of a large answer; dispatching again", "api", p.APIKey, "err", err)
			p.assembly, p.Redelivered = nil, true
			d.again(p)
			return
		}
		if !done {
			return
		}
		r.Frame, p.assembly = p.assembly.frame, nil
	}
	p.answer(r)
	d.grants.settle(p, len(r.Frame))
	p.metrics.learn(int64(len(r.Frame)))
	d.outcome(p, Outcome{Kind: Send, Throttle: r.Throttle, Frame: r.Frame})
}

// takeRedirect sends p, and this connection's later requests of the route, to
// the instance that holds what they are about.
func (d *dispatcher) takeRedirect(p *Pending, target string) {
	d.c.cfg.Metrics.redirected.Inc()
	p.Redirects++
	p.MustServe = p.Redirects >= MustServeAfter
	p.target = ""
	if d.instances[target] != nil {
		p.target = target
		if d.redirects[p.conn()] == nil {
			d.redirects[p.conn()] = map[*Route]string{}
		}
		d.redirects[p.conn()][p.route] = target
	}
	d.again(p)
}

// park moves a long poll out of its instance's window.
func (d *dispatcher) park(p *Pending, deadline time.Duration) {
	if p.state != outstanding {
		return
	}
	p.state, p.wasParked = parked, true
	p.instance.gave(p)
	p.instance.parked++
	p.metrics.parked++
	p.deadline = d.now + int64(deadline)
	d.wheel.remove(p)
	d.wheel.add(p)
	p.route.budget.Release(p.size)
	d.parked += int64(p.size)
	d.grants.park(p)
	d.c.cfg.Metrics.parked.Inc()
	if d.parked > d.c.cfg.ParkedMaxBytes {
		p.message = nil
	}
	if p.half || d.endPolls {
		d.cancel(p, true)
	}
}
