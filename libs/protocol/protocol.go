// Package protocol holds what the front end knows of the Kafka protocol: api
// keys, the request header, version ranges and ApiVersions, the one api that
// it answers itself. Bodies are the handlers' business (they use kmsg); this
// package depends on the standard library alone. Its Kafka counterparts are
// ApiKeys, RequestHeader and ApiVersionManager.
package protocol

import "maps"

// VersionRange is an inclusive range of versions of one api.
type VersionRange struct {
	Min int16 `json:"min"`
	Max int16 `json:"max"`
}

// Contains tells whether version lies in the range.
func (r VersionRange) Contains(version int16) bool {
	return version >= r.Min && version <= r.Max
}

// Ranges gives the versions answered by api key; an absent key is not answered.
type Ranges map[APIKey]VersionRange

// Clone copies the ranges.
func (r Ranges) Clone() Ranges { return maps.Clone(r) }

// Intersect keeps what both answer: what instances of one service can promise
// together while versions roll.
func (r Ranges) Intersect(o Ranges) Ranges {
	out := make(Ranges, len(r))
	for key, a := range r {
		b, ok := o[key]
		if v := (VersionRange{max(a.Min, b.Min), min(a.Max, b.Max)}); ok && v.Min <= v.Max {
			out[key] = v
		}
	}
	return out
}

// Release is the newest version of every api that Kafka 4.1 offers to clients,
// each from version 0: the frame that handlers' announcements are cut to, so
// that what clients see is one coherent release.
func Release() Ranges {
	out := make(Ranges)
	for key := APIKey(0); key < maxKey; key++ {
		if key.Known() {
			out[key] = VersionRange{0, apis[key].max}
		}
	}
	return out
}
