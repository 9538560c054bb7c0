package log

import (
	"fmt"
	"math"
	"time"
)

// tableMachine is the Table as its Log sees it.
type tableMachine Table

func (m *tableMachine) Application() uint16 { return TableApplication }

// Restore reads a checkpoint, which has the form of one large message.
func (m *tableMachine) Restore(checkpoint []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values, m.bytes = map[string][]byte{}, 0
	return parseChanges(checkpoint, m.set)
}

func (m *tableMachine) Apply(msg Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := parseChanges(msg.Body, m.set); err != nil {
		return fmt.Errorf("changes: %w", err)
	}
	m.stale = m.stale || !msg.Own && m.log != nil // while the table is being opened nobody has decided anything yet
	return nil
}

// set applies one change; mu is held. Values are copied, since a body is much larger than the values that survive from it.
func (m *tableMachine) set(key string, value []byte) {
	if old, ok := m.values[key]; ok {
		m.bytes -= changeOverhead + len(key) + len(old)
	}
	if value == nil {
		delete(m.values, key)
		return
	}
	m.values[key] = append(make([]byte, 0, len(value)), value...)
	m.bytes += changeOverhead + len(key) + len(value)
}

// Build takes what waits, as far as it fits into one message; one submission that is larger travels alone.
func (m *tableMachine) Build(head, limit, _ int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, size := 0, 0
	for n < len(m.waiting) && (n == 0 || size+m.waiting[n].size <= limit) {
		size += m.waiting[n].size
		n++
	}
	if n == 0 {
		return nil
	}
	m.building = append(m.building[:0], m.waiting[:n]...)
	rest := copy(m.waiting, m.waiting[n:])
	clear(m.waiting[rest:])
	m.waiting = m.waiting[:rest]
	record := make([]byte, head, head+size)
	for i := range m.building {
		for _, c := range m.building[i].changes {
			record = appendChange(record, c.Key, c.Value)
		}
	}
	return record
}

func (m *tableMachine) Committed(time.Time) { m.end(nil) }

// Conflict ends everything that was decided on the state before the foreign messages.
func (m *tableMachine) Conflict(unknown bool) {
	err := ErrConflict
	if unknown {
		err = ErrUnknown
	}
	m.end(err)
	m.mu.Lock()
	late := m.waiting
	m.waiting = nil
	m.stale = true // a reload from a checkpoint brings foreign changes without an Apply
	foreign := m.foreign
	m.mu.Unlock()
	for _, s := range late {
		s.done(ErrConflict)
	}
	if foreign != nil {
		foreign()
	}
	m.mu.Lock()
	m.stale = false
	m.mu.Unlock()
}

// end answers the submissions of the message that was built last.
func (m *tableMachine) end(err error) {
	for _, s := range m.building {
		s.done(err)
	}
	clear(m.building)
	m.building = m.building[:0]
}

func (m *tableMachine) Checkpoint(dst []byte) []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	grown := make([]byte, len(dst), len(dst)+m.bytes)
	copy(grown, dst)
	for k, v := range m.values {
		grown = appendChange(grown, k, v)
	}
	return grown
}

// Needs is nothing: a checkpoint of a table holds all of it.
func (m *tableMachine) Needs() uint64 { return math.MaxUint64 }

func (m *tableMachine) Fail(err error) {
	m.mu.Lock()
	m.ended = err
	late := m.waiting
	m.waiting = nil
	m.mu.Unlock()
	m.end(err)
	for _, s := range late {
		s.done(err)
	}
}
