package protocol

import "encoding/binary"

// Error codes of SASL (Errors).
const (
	ErrorUnsupportedSaslMechanism int16 = 33
	ErrorIllegalSaslState         int16 = 34
	ErrorSaslAuthenticationFailed int16 = 58
)

// ParseSaslHandshakeRequest reads the mechanism that a client asks for (versions 0 and 1); ok is false when bytes are
// missing.
func ParseSaslHandshakeRequest(body []byte) (mechanism string, ok bool) {
	r := reader{b: body}
	s := r.take(uint64(r.uint16()))
	return string(s), !r.failed
}

// SaslHandshakeResponse answers SaslHandshake; its versions are alike.
type SaslHandshakeResponse struct {
	Error      int16
	Mechanisms []string // those that are enabled
}

// Append appends the response with its header, without size bytes.
func (a SaslHandshakeResponse) Append(b []byte, correlation int32) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Error))
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.Mechanisms)))
	for _, m := range a.Mechanisms {
		b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
		b = append(b, m...)
	}
	return b
}

// ParseSaslAuthenticateRequest reads a token (versions 0 to 2), which aliases body; ok is false when bytes are missing.
func ParseSaslAuthenticateRequest(body []byte, version int16) (token []byte, ok bool) {
	r := reader{b: body}
	if SaslAuthenticate.Flexible(version) {
		token = r.compact()
		r.tags()
	} else {
		token = r.take(uint64(uint32(r.int32()))) // a negative length is more than there is
	}
	return token, !r.failed
}

// SaslAuthenticateResponse answers SaslAuthenticate.
type SaslAuthenticateResponse struct {
	Error   int16
	Message string // empty: null
	Token   []byte
	// SessionLifetime in milliseconds, 0 without an end (version 1 and later, KIP-368).
	SessionLifetime int64
}

// Append appends the response with its header, without size bytes.
func (a SaslAuthenticateResponse) Append(b []byte, correlation int32, version int16) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	if SaslAuthenticate.Flexible(version) {
		return a.appendFlexible(b)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(a.Error))
	if a.Message == "" {
		b = binary.BigEndian.AppendUint16(b, 0xffff)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Message)))
		b = append(b, a.Message...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.Token)))
	b = append(b, a.Token...)
	if version >= 1 {
		b = binary.BigEndian.AppendUint64(b, uint64(a.SessionLifetime))
	}
	return b
}

func (a SaslAuthenticateResponse) appendFlexible(b []byte) []byte {
	b = append(b, 0) // the header's tagged fields
	b = binary.BigEndian.AppendUint16(b, uint16(a.Error))
	if a.Message == "" {
		b = append(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(len(a.Message))+1)
		b = append(b, a.Message...)
	}
	b = binary.AppendUvarint(b, uint64(len(a.Token))+1)
	b = append(b, a.Token...)
	b = binary.BigEndian.AppendUint64(b, uint64(a.SessionLifetime))
	return append(b, 0)
}
