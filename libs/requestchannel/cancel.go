package requestchannel

import "encoding/binary"

// cancelFixed is the length of a cancel message.
const cancelFixed = 14

// appendCancel appends the message that tells a handler that the connection of
// request id is gone (half: that its peer sends nothing more, but still reads).
func appendCancel(b []byte, id uint64, half bool) []byte {
	var flags byte
	if half {
		flags = flagHalfClosed
	}
	b = append(b, magic, EnvelopeVersion, kindCancel, flags, 0, cancelFixed)
	return binary.BigEndian.AppendUint64(b, id)
}

// parseCancel reads a cancel message; the front end is named by its subject of
// reply, because ids are unique per front end only.
func parseCancel(b []byte) (id uint64, half bool, err error) {
	if _, err := envelopeHeader(b, cancelFixed); err != nil {
		return 0, false, err
	}
	return binary.BigEndian.Uint64(b[6:]), b[offFlags]&flagHalfClosed != 0, nil
}

// probe is a message that says nothing.
var probe = []byte{magic, EnvelopeVersion, kindProbe, 0, 0, 6}

// messageKind is the kind of a message on a request subject, 0 if it has none.
func messageKind(b []byte) byte {
	if len(b) < 6 || b[0] != magic {
		return 0
	}
	return b[offKind]
}
