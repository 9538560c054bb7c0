package network

import (
	"errors"
	"fmt"
)

// ErrIllegalState reports an event that a channel's mute state does not allow. It is our own fault, and the channel is
// closed.
var ErrIllegalState = errors.New("network: illegal mute state")

// MuteState says whether a channel is read from, and what must happen before it is again (KafkaChannel, 1.7.2).
//
//	                   mute                 RequestReceived
//	NotMuted ───────────────────▶ Muted ───────────────────▶ MutedAndResponsePending
//	   ▲                          │ ▲ ▲                          │     │      ▲
//	   └───────── unmute ─────────┘ │ └────── ResponseSent ──────┘     │      │
//	                                │                  ThrottleStarted │      │ ThrottleEnded
//	                  ThrottleEnded │                                  ▼      │
//	                     MutedAndThrottled ◀── ResponseSent ── MutedAndThrottledAndResponsePending
type MuteState uint8

// The states, in the order of Kafka's table.
const (
	NotMuted MuteState = iota
	Muted
	MutedAndResponsePending
	MutedAndThrottled
	MutedAndThrottledAndResponsePending
)

// MuteEvent is what moves a muted channel (ChannelMuteEvent).
type MuteEvent uint8

// The events, in the order of Kafka's table.
const (
	RequestReceived MuteEvent = iota
	ResponseSent
	ThrottleStarted
	ThrottleEnded
)

const illegal MuteState = 0xff

var muteTable = [5][4]MuteState{
	//                                   RequestReceived, ResponseSent, ThrottleStarted, ThrottleEnded
	NotMuted:                            {illegal, illegal, illegal, illegal},
	Muted:                               {MutedAndResponsePending, illegal, illegal, illegal},
	MutedAndResponsePending:             {illegal, Muted, MutedAndThrottledAndResponsePending, illegal},
	MutedAndThrottled:                   {illegal, illegal, illegal, Muted},
	MutedAndThrottledAndResponsePending: {illegal, MutedAndThrottled, illegal, MutedAndResponsePending},
}

var (
	muteStateNames = [...]string{
		"not_muted", "muted", "muted_and_response_pending", "muted_and_throttled",
		"muted_and_throttled_and_response_pending",
	}
	muteEventNames = [...]string{"request_received", "response_sent", "throttle_started", "throttle_ended"}
)

// String is the state's name in errors.
func (s MuteState) String() string { return muteStateNames[s] }

// String is the event's name in errors.
func (e MuteEvent) String() string { return muteEventNames[e] }

// Mute gives the state after mute().
func (s MuteState) Mute() MuteState { return max(s, Muted) }

// MaybeUnmute gives the state after maybeUnmute() and whether the channel is read from then.
func (s MuteState) MaybeUnmute() (MuteState, bool) {
	if s <= Muted {
		return NotMuted, true
	}
	return s, false
}

// Handle gives the state after an event; an illegal event changes nothing.
func (s MuteState) Handle(e MuteEvent) (MuteState, error) {
	if next := muteTable[s][e]; next != illegal {
		return next, nil
	}
	return s, fmt.Errorf("%w: %s in %s", ErrIllegalState, e, s)
}

// ResponsePending tells whether a request is with a handler.
func (s MuteState) ResponsePending() bool {
	return s == MutedAndResponsePending || s == MutedAndThrottledAndResponsePending
}
