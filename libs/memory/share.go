package memory

import (
	"math"
	"slices"
	"sync/atomic"
)

// Share is one selector's part in a budget. Its methods are called on the selector's goroutine. A nil share is part of
// no budget: it always has room.
type Share struct {
	budget *Budget
	wake   func()

	asked   atomic.Bool  // to close its stalest partial frame
	stalest atomic.Int64 // when the stalest of its partial frames last grew

	// owned by the selector's goroutine, but for what a ticket says otherwise
	pass, want ticket
	held       int64 // counted in the budget
	partial    int64 // of that in partial frames
}

// Never is when a frame grew that does not exist.
const Never = int64(math.MaxInt64)

// Join makes a selector's share; wake is called, on any goroutine until Leave, when the selector can go on or is Asked.
func (b *Budget) Join(wake func()) *Share {
	s := &Share{budget: b, wake: wake}
	s.pass.share, s.want.share = s, s
	s.stalest.Store(Never)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = append(b.shares, s)
	return s
}

// Leave gives back all that the share counts.
func (s *Share) Leave() {
	if s == nil {
		return
	}
	b := s.budget
	s.Cancel()
	s.Tell(0, 0, Never)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = slices.DeleteFunc(b.shares, func(o *Share) bool { return o == s })
	if i := slices.Index(b.passes, &s.pass); i >= 0 {
		b.passes = slices.Delete(b.passes, i, i+1)
		b.waiting.Add(-1)
	}
	b.serve(0)
}

// Pass tells whether the selector may read on in this pass. If not it stands in line, and is woken.
func (s *Share) Pass() bool {
	switch {
	case s == nil:
		return true
	case s.pass.inLine:
		return s.pass.take()
	}
	b := s.budget
	if b.used.Load() < b.limit && b.waiting.Load() == 0 {
		return true
	}
	b.queue(&b.passes, &s.pass, 0)
	return s.pass.take()
}

// Take counts n bytes in before they are allocated, for a frame that has own bytes already, if there is room for them.
// If not it stands in line, and is woken to call Take again; or Cancel, if it does not need them any more.
func (s *Share) Take(n, own int) bool {
	b := s.budget
	if !s.want.inLine {
		if b.try(int64(n)) {
			s.held += int64(n)
			return true
		}
		b.queue(&b.wants, &s.want, max(min(int64(n), b.limit*3/4-int64(own)), 0))
	}
	if !s.want.take() {
		return false
	}
	b.used.Add(int64(n) - s.want.got)
	s.held += int64(n)
	return true
}

// Cancel leaves the line for a large buffer, if the share stands there.
func (s *Share) Cancel() {
	if !s.want.inLine {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.wants, &s.want); i >= 0 {
		b.wants = slices.Delete(b.wants, i, i+1)
		b.waiting.Add(-1)
	}
	s.want.granted.Store(false)
	s.want.inLine = false
	b.used.Add(-s.want.got)
	b.serve(s.want.got)
}

// Tell counts what the selector holds now, how much of that is of partial frames, and when the stalest of them grew;
// Never if there is none.
func (s *Share) Tell(held, partial int, stalest int64) {
	b := s.budget
	if d := int64(held) - s.held; d > 0 {
		b.Hold(int(d))
	} else if d < 0 {
		b.Release(int(-d))
	}
	b.partial.Add(int64(partial) - s.partial)
	s.held, s.partial = int64(held), int64(partial)
	if s.stalest.Load() != stalest {
		s.stalest.Store(stalest)
	}
}

// Held is what the budget counts for the share.
func (s *Share) Held() int { return int(s.held) }

// Exceeds tells whether partial frames have more than their half of the budget, with n bytes more.
func (s *Share) Exceeds(n int) bool { return s.budget.partial.Load()+int64(n) > s.budget.limit/2 }

// FarExceeds tells whether that is more than a sixteenth of the budget too much.
func (s *Share) FarExceeds(n int) bool { return s.Exceeds(n - int(s.budget.limit/16)) }

// Asked tells whether another selector wants this one to Relieve; told once.
func (s *Share) Asked() bool { return s.asked.Load() && s.asked.Swap(false) }

// Relieve finds the stalest partial frame. If it is the share's own, which is to close it, it tells so; if it is another
// selector's, that is asked. single tells that the share has just one: where that is the only one of all, it stays.
func (s *Share) Relieve(single bool) (own bool) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	stalest, others := s, false
	for _, o := range b.shares {
		at := o.stalest.Load()
		others = others || o != s && at != Never
		if at < stalest.stalest.Load() {
			stalest = o
		}
	}
	if stalest == s {
		return s.stalest.Load() != Never && (others || !single)
	}
	stalest.asked.Store(true)
	stalest.wake()
	return false
}
