package loadgen

import (
	"time"

	"kanal/libs/network"
)

// fill sends until the connection's window is full.
func (w *worker) fill(c *connection) {
	for c.waiting < len(c.window) && !w.stopping && !c.channel.Closed() {
		w.outstanding++
		w.sel.Send(c.channel, network.Send{Frame: c.begin(w.now)})
	}
}

// processAnswers judges what came. An answer that nobody asked for ends its
// connection, because nothing on it can be matched any more.
func (w *worker) processAnswers() {
	for _, r := range w.sel.Receives() {
		c := r.Channel.Attachment.(*connection)
		if c.waiting == 0 || w.plan.silent {
			w.sel.CloseChannel(r.Channel, network.ReasonIllegalState, nil)
			continue
		}
		q := c.end()
		w.outstanding--
		w.tally.answer(w.now-q.sent, c.exchange.judge(q.frame, r.Frame))
	}
	// Only now: what was not sent yet cannot be what an answer of this pass answers.
	for _, r := range w.sel.Receives() {
		w.fill(r.Channel.Attachment.(*connection))
	}
}

// processSends ends the requests that have no answer.
func (w *worker) processSends() {
	for _, s := range w.sel.CompletedSends() {
		if c := s.Channel.Attachment.(*connection); w.plan.silent && c.waiting > 0 {
			q := c.end()
			w.outstanding--
			w.tally.answer(w.now-q.sent, nil)
			w.fill(c)
		}
	}
}

// processDisconnected counts what was lost with a connection: its requests, or
// the one that could not be sent.
func (w *worker) processDisconnected() {
	for _, gone := range w.sel.Disconnected() {
		c := gone.Channel.Attachment.(*connection)
		lost := c.lose(w.now)
		w.outstanding -= lost
		w.closed++
		if lost == 0 && !w.stopping {
			lost = 1
		}
		w.tally.fail("connection lost: "+gone.Reason.String(), lost)
	}
}

// reconnect opens again what was lost, after a while that grows, and begins with
// what stands again.
func (w *worker) reconnect() error {
	for _, channel := range w.sel.Connected() {
		w.fill(channel.Attachment.(*connection))
	}
	if w.closed == 0 || w.stopping {
		return nil
	}
	for _, c := range w.conns {
		if c.channel == nil && w.now >= c.due {
			if err := w.open(c); err != nil {
				return err
			}
			w.closed--
		}
	}
	return nil
}

// publish shows the others how far this worker is.
func (w *worker) publish(before network.Stats) {
	stats := w.sel.Stats()
	w.live.requests.Store(w.tally.answered)
	w.live.errors.Store(w.tally.failed)
	w.live.sent.Store(stats.SentBytes - before.SentBytes)
	w.live.received.Store(stats.ReceivedBytes - before.ReceivedBytes)
	w.tally.last = time.Duration(w.now)
}
