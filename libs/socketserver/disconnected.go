package socketserver

import (
	"context"
	"log/slog"

	"kanal/libs/network"
)

// processDisconnected ends every connection that is gone, whoever closed it, in one place (E12, E13).
func (p *Processor) processDisconnected() {
	for _, ch := range p.sel.HalfClosed() {
		if !ch.Closed() && !p.abandoned(ch) {
			p.rc.Disconnected(p.id, ch.Token(), true)
		}
	}
	for _, closed := range p.sel.Disconnected() {
		p.disconnected(&closed)
	}
}

func (p *Processor) disconnected(closed *network.Closed) {
	p.ended(closed.Channel.Attachment.(*connection), closed.Reason, closed.Err)
	p.rc.Disconnected(p.id, closed.Channel.Token(), false)
	outcome := ConnectionLost
	if closed.Reason == p.farewell() {
		outcome = Shutdown
	}
	closed.Channel.Attachment.(*connection).ahead.lose(outcome)
	for i := range closed.Lost {
		completeSend(&closed.Lost[i], outcome, 0)
	}
}

// ended takes a connection out of all counts, once its socket is closed.
func (p *Processor) ended(c *connection, reason network.CloseReason, err error) {
	p.logClose(c, reason, err)
	p.open.Add(-1)
	p.counts.connections.Dec()
	c.client.leave()
	c.tls.leave()
	c.slot.release(c.excess)
	if c.login != nil {
		c.login.gone.Store(true)
	}
	p.counts.closed[reason].Inc()
}

// closeExcessConnections closes the connection that can be missed most easily, while there are more than the server may
// have: one a pass, the others have their turn (D7, D8). Only connections of privileged listeners bring it about.
func (p *Processor) closeExcessConnections() {
	if !p.mayExceed() {
		return
	}
	if p.excess = p.quotas.claimExcess(); !p.excess {
		return
	}
	ch := p.sel.LeastRecent()
	ch.Attachment.(*connection).excess = true
	p.close(ch, network.ReasonExcessConnection, nil)
}

func (p *Processor) mayExceed() bool { return p.excess && p.sel.Open() > 0 }

// logClose warns of peers that break the protocol and of faults of our own, and names those that met a limit or did not
// prove who they are; the rest is normal life.
func (p *Processor) logClose(c *connection, reason network.CloseReason, err error) {
	level := slog.LevelDebug
	switch {
	case reason == network.ReasonIllegalState || reason == network.ReasonInternal:
		level = slog.LevelError
	case reason.Limit(), reason.Authentication():
		level = slog.LevelInfo
	case !reason.Normal():
		level = slog.LevelWarn
	}
	if !p.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("reason", reason.String()), slog.String("conn", c.ID), slog.String("client", c.ClientAddress),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	p.log.LogAttrs(context.Background(), level, "connection closed", attrs...)
}
