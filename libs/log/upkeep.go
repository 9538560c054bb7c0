package log

import "context"

// checkpointDue weighs what came since the last checkpoint against the checkpoint's own size, so that writing it stays a share of
// the work and reading what follows it stays in proportion to reading it. Only the writer of the last message asks.
func (l *Log) checkpointDue() bool {
	weight := l.sinceBytes + 128*l.sinceCount
	switch {
	case l.sinceCount == 0:
		return false
	case weight >= max(l.cfg.CheckpointBytes, l.checkpoint.bytes):
		return true
	case l.sinceCount >= l.cfg.CheckpointMessages:
		return weight >= l.checkpoint.bytes/4
	}
	return l.cfg.Now().Sub(l.checked) >= l.cfg.CheckpointInterval && weight >= l.checkpoint.bytes/8
}

// writeCheckpoint writes the state, and purges what nobody needs then.
func (l *Log) writeCheckpoint(ctx context.Context) error {
	l.checked = l.cfg.Now() // an attempt that is interrupted is not repeated at once
	body := l.machine.Checkpoint(appendVoids(nil, l.chain.Voids))
	l.number++
	h := Header{Application: l.machine.Application(), ID: ID{l.cfg.Writer, l.number}}
	first := l.chain.Tail + 1
	parts := cut(&l.chain, h, l.checkpoint.last, body)
	for i, part := range parts {
		n, err := l.publish(ctx, true, part)
		if n.foreign {
			l.machine.Conflict(false)
		}
		if err != nil || !n.mine {
			return err
		}
		if l.chain.Tail != first+uint64(i) && i+1 < len(parts) {
			return nil // another's record stands behind this part: the parts no longer lie side by side
		}
	}
	l.metrics.checkpointed(len(body))
	l.purge(ctx)
	return nil
}

// drop is Trim on the log's goroutine. A checkpoint that is not due by itself is worth it only if it lets more go.
func (l *Log) drop(ctx context.Context) error {
	if l.sinceCount > 0 && l.machine.Needs() > max(1, l.checkpoint.first) {
		return l.writeCheckpoint(ctx)
	}
	l.purge(ctx)
	return nil
}

// purge drops what neither the machine nor the checkpoints need. It runs beside the log, since a large one takes 100 ms; any
// holder, former ones too, may purge below any complete checkpoint.
func (l *Log) purge(ctx context.Context) {
	below := min(l.machine.Needs(), l.chain.LastSequence, l.settled())
	if below <= max(1, l.purged.Load()) {
		return
	}
	l.chain.Forget(below)
	l.background.Go(func() {
		err := l.storage.Purge(ctx, below)
		if err == nil {
			l.purged.Store(below)
		} else if ctx.Err() == nil {
			l.log.Warn("log could not be purged", "below", below, "err", err)
		}
	})
}

// settled is the first record of the newest checkpoint, or, while that is young, of the one before: a writer who was slow still
// finds out what became of his last message.
func (l *Log) settled() uint64 {
	if l.cfg.Now().Sub(l.checked) >= l.cfg.CheckpointInterval {
		return l.checkpoint.first
	}
	return l.previous.first
}
