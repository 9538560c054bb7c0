package protocol

import (
	"encoding/binary"
	"slices"
)

// Error codes that the front end itself puts into an ApiVersions answer.
const (
	ErrorNone                int16 = 0
	ErrorUnsupportedVersion  int16 = 35
	ErrorInvalidRequest      int16 = 42
	ErrorRebootstrapRequired int16 = 129
)

// ApiVersionsRequest is the body of an ApiVersions request.
type ApiVersionsRequest struct {
	SoftwareName    string // version 3 and later (KIP-511)
	SoftwareVersion string
	// ClusterID and NodeID tell where the client believes it is (version 5,
	// KIP-1242); nil and -1 while it is bootstrapping.
	ClusterID *string
	NodeID    int32
}

// ParseApiVersionsRequest reads a body of a version that this package knows.
// ok is false when bytes are missing or the software name or version is not
// what KIP-511 allows (L7), which is answered with INVALID_REQUEST.
func ParseApiVersionsRequest(body []byte, version int16) (q ApiVersionsRequest, ok bool) {
	q.NodeID = -1
	if version < 3 {
		return q, true
	}
	r := reader{b: body}
	q.SoftwareName = string(r.compact())
	q.SoftwareVersion = string(r.compact())
	if version >= 5 {
		if id := r.compact(); id != nil {
			s := string(id)
			q.ClusterID = &s
		}
		q.NodeID = r.int32()
	}
	r.tags()
	return q, !r.failed && validSoftware(q.SoftwareName) && validSoftware(q.SoftwareVersion)
}

// validSoftware holds s against [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
func validSoftware(s string) bool {
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// ApiVersionsResponse is an answer to ApiVersions (ApiVersionsResponse).
type ApiVersionsResponse struct {
	Error  int16
	Ranges Ranges
	// Features are what clients look for beside versions (KIP-584); told from
	// version 3 on.
	Features []Feature
}

// Feature is one that a cluster has, at a level, and every level below.
type Feature struct {
	Name  string
	Level int16
}

// Unsupported is the answer to a version of ApiVersions that we do not know:
// in the format of version 0, with the range that we do know (L6, KIP-511).
func Unsupported(own VersionRange) ApiVersionsResponse {
	return ApiVersionsResponse{Error: ErrorUnsupportedVersion, Ranges: Ranges{ApiVersions: own}}
}

// Append appends the response with its header, which is always of version 0,
// without size bytes. Keys come in ascending order.
func (a ApiVersionsResponse) Append(b []byte, correlation int32, version int16) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Error))
	flexible := version >= 3
	if flexible {
		b = binary.AppendUvarint(b, uint64(len(a.Ranges))+1)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(len(a.Ranges)))
	}
	for _, key := range a.keys() {
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(a.Ranges[key].Min))
		b = binary.BigEndian.AppendUint16(b, uint16(a.Ranges[key].Max))
		if flexible {
			b = append(b, 0)
		}
	}
	if version >= 1 {
		b = binary.BigEndian.AppendUint32(b, 0) // throttle time
	}
	if flexible {
		b = a.appendFeatures(b)
	}
	return b
}

// appendFeatures appends the tagged fields: what is supported, the epoch of what
// is finalized, and that, which is all of it.
func (a ApiVersionsResponse) appendFeatures(b []byte) []byte {
	if len(a.Features) == 0 {
		return append(b, 0)
	}
	supported := binary.AppendUvarint(nil, uint64(len(a.Features))+1)
	finalized := binary.AppendUvarint(nil, uint64(len(a.Features))+1)
	for _, f := range a.Features {
		name := append(binary.AppendUvarint(nil, uint64(len(f.Name))+1), f.Name...)
		supported = appendLevels(append(supported, name...), 1, f.Level)       // old Java clients take no 0
		finalized = appendLevels(append(finalized, name...), f.Level, f.Level) // the newest comes first
	}
	b = append(b, 3)
	b = appendTagged(b, 0, supported)
	b = appendTagged(b, 1, make([]byte, 8)) // finalized since ever
	return appendTagged(b, 2, finalized)
}

func appendLevels(b []byte, first, second int16) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(first))
	return append(binary.BigEndian.AppendUint16(b, uint16(second)), 0)
}

func appendTagged(b []byte, tag uint64, value []byte) []byte {
	b = binary.AppendUvarint(b, tag)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

func (a ApiVersionsResponse) keys() []APIKey {
	keys := make([]APIKey, 0, len(a.Ranges))
	for key := range a.Ranges {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
