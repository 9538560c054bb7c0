package log

// Verdict is what the chain says about a record.
type Verdict uint8

// The verdicts.
const (
	Valid Verdict = iota // the next link: it counts for every reader
	Void                 // its predecessor is not the last valid message: it counts for nobody (rule 1)
	Aside                // a part of a checkpoint
	Gap                  // records between the tail and this one are missing (purged): nothing can be said
	Old                  // at or below the tail: seen already
)

// Chain is where a reader stands in a log: a pure function of the records it was shown, in order.
type Chain struct {
	Tail         uint64   // sequence of the last record seen, of any kind
	Last         ID       // last valid message
	LastSequence uint64   // where it stands
	Voids        []uint64 // sequences of void messages that may still be stored, ascending
}

// Judge says what a record is without taking it in.
func (c *Chain) Judge(sequence uint64, h Header) Verdict {
	switch {
	case sequence <= c.Tail:
		return Old
	case sequence > c.Tail+1:
		return Gap
	case h.Kind == KindCheckpoint:
		return Aside
	case h.Kind == 0 || h.Predecessor != c.Last:
		return Void
	}
	return Valid
}

// Take moves the chain past a record that was judged Valid, Void or Aside.
func (c *Chain) Take(sequence uint64, h Header, v Verdict) {
	c.Tail = sequence
	switch v {
	case Valid:
		c.Last, c.LastSequence = h.ID, sequence
	case Void:
		c.Voids = append(c.Voids, sequence)
	}
}

// Forget drops what is known of sequences below first, which are purged.
func (c *Chain) Forget(first uint64) {
	n := 0
	for n < len(c.Voids) && c.Voids[n] < first {
		n++
	}
	c.Voids = append([]uint64(nil), c.Voids[n:]...)
}
