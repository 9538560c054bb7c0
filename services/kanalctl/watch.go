package kanalctl

import (
	"context"
	"io"
	"time"
)

// watchInterval is how often a watcher looks: as fast as an eye follows.
const watchInterval = 250 * time.Millisecond

// home clears a terminal from its first line on.
const home = "\x1b[H\x1b[2J"

// watch prints the status whenever it is another one, until ctx ends. On a
// terminal it stays in place.
func (l *lookout) watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for last := ""; ; {
		st := l.look()
		st.stable()
		now, err := l.out.render(st, true)
		if err == nil && now != last {
			last, err = now, l.show(now)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			// The first service may start after us. While NATS is away there is
			// nothing to find, and the next look says that.
			_ = l.open(ctx)
		}
	}
}

// stable drops the numbers that rise with every announcement and mean no change.
func (st *Status) stable() {
	for i := range st.FrontEnds {
		st.FrontEnds[i].Number = 0
	}
	for i := range st.Handlers {
		st.Handlers[i].Number = 0
	}
}

func (s *session) show(text string) error {
	switch {
	case s.out.json:
	case s.out.terminal():
		text = home + text
	default:
		text = time.Now().Format(time.TimeOnly) + " " + text + "\n"
	}
	_, err := io.WriteString(s.out, text)
	return err
}
