//go:build future

package future

// Version is added to the versions of what is only sent.
const Version = 1

// Bytes follow the known fields of binary headers.
const Bytes = "\x00\x05later\xff\xff\xff\xff"

// Reserved is in the places of a log's records that are 0 today.
const Reserved = 0x1a7e2

// Fields are embedded in JSON that is sent or stored.
type Fields struct {
	Later      int               `json:"later"`
	LaterNames []string          `json:"laterNames"`
	LaterOnes  map[string]Fields `json:"laterOnes"`
}
