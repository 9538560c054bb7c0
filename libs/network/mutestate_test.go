package network

import (
	"errors"
	"testing"
)

// Rows G1, G5, G8: every state and every action of Kafka's matrix; the illegal ones, such as the end of a throttle before
// its start, change nothing.
func TestMuteStateMachine(t *testing.T) {
	const bad = illegal
	for _, row := range []struct {
		state    MuteState
		mute     MuteState
		unmute   MuteState
		readable bool // what maybeUnmute returns
		events   [4]MuteState
	}{
		{NotMuted, Muted, NotMuted, true, [4]MuteState{bad, bad, bad, bad}},
		{Muted, Muted, NotMuted, true, [4]MuteState{MutedAndResponsePending, bad, bad, bad}},
		{MutedAndResponsePending, MutedAndResponsePending, MutedAndResponsePending, false,
			[4]MuteState{bad, Muted, MutedAndThrottledAndResponsePending, bad}},
		{MutedAndThrottled, MutedAndThrottled, MutedAndThrottled, false, [4]MuteState{bad, bad, bad, Muted}},
		{MutedAndThrottledAndResponsePending, MutedAndThrottledAndResponsePending,
			MutedAndThrottledAndResponsePending, false,
			[4]MuteState{bad, MutedAndThrottled, bad, MutedAndResponsePending}},
	} {
		t.Run(row.state.String(), func(t *testing.T) {
			if got := row.state.Mute(); got != row.mute {
				t.Errorf("mute: %v, want %v", got, row.mute)
			}
			if got, readable := row.state.MaybeUnmute(); got != row.unmute || readable != row.readable {
				t.Errorf("maybeUnmute: %v %v, want %v %v", got, readable, row.unmute, row.readable)
			}
			for e, want := range row.events {
				event := MuteEvent(e)
				got, err := row.state.Handle(event)
				if want == bad {
					if !errors.Is(err, ErrIllegalState) || got != row.state {
						t.Errorf("%v: %v, %v; want an illegal-state error and no change", event, got, err)
					}
				} else if err != nil || got != want {
					t.Errorf("%v: %v, %v; want %v", event, got, err, want)
				}
			}
		})
	}
}

func TestResponsePending(t *testing.T) {
	for s, want := range []bool{false, false, true, false, true} {
		if MuteState(s).ResponsePending() != want {
			t.Errorf("%v: %v", MuteState(s), !want)
		}
	}
}

func TestCloseReasonsHaveNames(t *testing.T) {
	seen := map[string]CloseReason{}
	for r := ReasonNone; r < reasons; r++ {
		if other, double := seen[r.String()]; double || r.String() == "" {
			t.Errorf("reason %d is named %q, as is %d", r, r, other)
		}
		seen[r.String()] = r
		if r.Normal() && r.Violation() {
			t.Errorf("%v is both normal and a violation", r)
		}
	}
	if reasons.String() != "unknown" || len(Reasons()) != int(reasons)-1 {
		t.Errorf("%v, %v", reasons, Reasons())
	}
}
