package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// ID is a 128-bit identity of a topic or cluster, written as Kafka writes its
// Uuid: 22 characters of base64url without padding.
type ID [16]byte

// NewID makes a random (version 4) id. Like Kafka's Uuid.randomUuid it avoids
// the reserved ids and those whose text starts with a dash, which command line
// tools take for an option.
func NewID() ID {
	for {
		var id ID
		rand.Read(id[:]) // never fails (crypto/rand, Go 1.24)
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// String gives the 22 characters.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// IsZero tells whether this is the id that stands for none.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads the 22 characters.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: id %q is not 22 characters of base64url", ErrInvalidEntry, s)
	}
	copy(id[:], b)
	return id, nil
}

// MarshalText writes the 22 characters.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the 22 characters.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}
