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
