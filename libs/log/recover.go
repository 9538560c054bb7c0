package log

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errEnough ends a read when what was wanted is there.
var errEnough = errors.New("log: enough")

// recover makes the state from the newest checkpoint and the valid messages after it. Its cost follows the size of the state, not
// that of the log. The holder may write a checkpoint and purge meanwhile: then it starts again.
func (l *Log) recover(ctx context.Context) error {
	const attempts = 5
	began := l.cfg.Now()
	var err error
	for range attempts {
		if err = l.recoverOnce(ctx); !errors.Is(err, errGap) {
			break
		}
	}
	if err == nil {
		l.metrics.recovered(l.cfg.Now().Sub(began))
		l.log.Debug("log recovered", "tail", l.chain.Tail, "checkpoint", l.checkpoint.first, "messages", l.sinceCount)
	}
	return err
}

func (l *Log) recoverOnce(ctx context.Context) error {
	chain, at, body, err := l.newestCheckpoint(ctx)
	if err != nil {
		return err
	}
	if err := l.machine.Restore(body); err != nil {
		return finalError{fmt.Errorf("checkpoint at %d: %w", at.last, err)}
	}
	l.chain = chain
	l.showVoids()
	l.checkpointStands(at)
	l.holder, l.heard, l.silence = false, l.cfg.Now(), 0
	l.interrupts = l.storage.Interruptions()
	var ignored news
	for more := true; more; {
		more, err = l.storage.Read(ctx, l.chain.Tail+1, readBytes, func(r Record) error { return l.take(r, nil, &ignored) })
		if err != nil {
			return err
		}
	}
	return nil
}

// newestCheckpoint finds the newest checkpoint that is complete. Without one, the zero chain and nil are where a log begins.
func (l *Log) newestCheckpoint(ctx context.Context) (Chain, mark, []byte, error) {
	r, err := l.lastCheckpoint(ctx)
	for err == nil {
		var p *Part
		if p, err = ParsePart(r.Data); err != nil {
			return Chain{}, mark{}, nil, finalError{fmt.Errorf("record %d on the checkpoints' subject: %w", r.Sequence, err)}
		}
		if p.Complete() {
			return l.readCheckpoint(ctx, p)
		}
		if err = ErrNotFound; p.Previous != 0 { // its writer was interrupted
			r, err = l.readOne(ctx, p.Previous)
		}
	}
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return Chain{}, mark{}, nil, err
}

// lastCheckpoint gives the request a time limit of its own: a server that just started may not answer at all.
func (l *Log) lastCheckpoint(ctx context.Context) (Record, error) {
	try, cancel := context.WithTimeout(ctx, l.cfg.AppendTimeout+time.Second)
	defer cancel()
	return l.storage.LastCheckpoint(try)
}

// readOne reads the record at a sequence that is known to exist.
func (l *Log) readOne(ctx context.Context, sequence uint64) (Record, error) {
	var found Record
	_, err := l.storage.Read(ctx, sequence, 1, func(r Record) error { found = r; return errEnough })
	if err != nil && !errors.Is(err, errEnough) {
		return found, err
	}
	if found.Sequence != sequence {
		return found, fmt.Errorf("record %d: %w", sequence, errGap)
	}
	return found, nil
}

// readCheckpoint reads all parts of the checkpoint that last completes.
func (l *Log) readCheckpoint(ctx context.Context, last *Part) (Chain, mark, []byte, error) {
	var parts []*Part
	collect := func(r Record) error {
		if r.Sequence != last.First+uint64(len(parts)) {
			return errGap
		}
		p, err := ParsePart(r.Data)
		if err != nil {
			return finalError{fmt.Errorf("checkpoint part at %d: %w", r.Sequence, err)}
		}
		if parts = append(parts, p); len(parts) == int(last.Count) {
			return errEnough
		}
		return nil
	}
	for len(parts) < int(last.Count) {
		before := len(parts)
		_, err := l.storage.Read(ctx, last.First+uint64(before), readBytes, collect)
		if err != nil && !errors.Is(err, errEnough) {
			return Chain{}, mark{}, nil, err
		}
		if len(parts) == before {
			return Chain{}, mark{}, nil, fmt.Errorf("checkpoint at %d: %w", last.First, errGap)
		}
	}
	return openCheckpoint(parts)
}

// openCheckpoint is what the parts say.
func openCheckpoint(parts []*Part) (Chain, mark, []byte, error) {
	chain, whole, err := join(parts)
	if err != nil {
		return Chain{}, mark{}, nil, finalError{err}
	}
	var body []byte
	if chain.Voids, body, err = parseVoids(whole); err != nil {
		return Chain{}, mark{}, nil, finalError{err}
	}
	return chain, mark{parts[0].First, chain.Tail, len(whole)}, body, nil
}

// checkpointIfDue writes a checkpoint when enough has come since the last. Only the writer of the last message does.
func (l *Log) checkpointIfDue(ctx context.Context) error {
	if !l.holder || !l.checkpointDue() {
		return nil
	}
	l.checked = l.cfg.Now() // an attempt that is interrupted is not repeated at once
	body := l.machine.Checkpoint(appendVoids(nil, l.chain.Voids))
	l.number++
	h := Header{Application: l.machine.Application(), ID: ID{l.cfg.Writer, l.number}}
	first, before := l.chain.Tail+1, l.checkpoint
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
	l.purge(ctx, before.first)
	return nil
}

// checkpointDue weighs what came since the last checkpoint against the checkpoint's own size, so that writing it stays a share of
// the work and reading what follows it stays in proportion to reading it.
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

// purge drops what neither the machine nor the last two checkpoints need. One more than is needed, so that a writer who was slow still
// finds out what became of his last message. It runs beside the log, since a large one takes 100 ms; any holder, former ones too, may
// purge below any complete checkpoint.
func (l *Log) purge(ctx context.Context, checkpoint uint64) {
	below := min(checkpoint, l.machine.Needs())
	if below <= 1 {
		return
	}
	l.chain.Forget(below)
	l.background.Go(func() {
		if err := l.storage.Purge(ctx, below); err != nil && ctx.Err() == nil {
			l.log.Warn("log could not be purged", "below", below, "err", err)
		}
	})
}
