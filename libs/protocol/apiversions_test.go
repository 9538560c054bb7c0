package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Row L5: the header is of version 0, also where the body is flexible.
func TestApiVersionsAnswerOfEveryVersion(t *testing.T) {
	a := ApiVersionsResponse{Ranges: Ranges{Fetch: {4, 18}, Produce: {0, 13}, ApiVersions: {0, 5}}}
	for v := int16(0); v <= 5; v++ {
		b := a.Append(nil, 9, v)
		r := kmsg.NewPtrApiVersionsResponse()
		r.SetVersion(v)
		if err := r.ReadFrom(b[4:]); err != nil || b[3] != 9 {
			t.Fatalf("v%d: %v", v, err)
		}
		if len(r.ApiKeys) != 3 || r.ApiKeys[0].MaxVersion != 13 || r.ApiKeys[1].MinVersion != 4 || r.ApiKeys[2].ApiKey != 18 {
			t.Fatalf("v%d: %+v", v, r.ApiKeys)
		}
		if again := r.AppendTo(nil); string(again) != string(b[4:]) {
			t.Fatalf("v%d: %x, kmsg writes %x", v, b[4:], again)
		}
	}
}

// KIP-584: features are tagged fields, from version 3 on.
func TestApiVersionsFeatures(t *testing.T) {
	a := ApiVersionsResponse{Ranges: Ranges{ApiVersions: {0, 5}}, Features: []Feature{{"group.version", 1}, {"transaction.version", 2}}}
	for v := int16(0); v <= 5; v++ {
		b := a.Append(nil, 9, v)
		r := kmsg.NewPtrApiVersionsResponse()
		r.SetVersion(v)
		if err := r.ReadFrom(b[4:]); err != nil {
			t.Fatalf("v%d: %v", v, err)
		}
		if again := r.AppendTo(nil); string(again) != string(b[4:]) {
			t.Fatalf("v%d: %x, kmsg writes %x", v, b[4:], again)
		}
		if v < 3 {
			continue
		}
		f := r.FinalizedFeatures
		if len(f) != 2 || f[1].Name != "transaction.version" || f[1].MaxVersionLevel != 2 || r.FinalizedFeaturesEpoch != 0 || r.SupportedFeatures[1].MaxVersion != 2 {
			t.Fatalf("v%d: %+v, %+v", v, r.SupportedFeatures, f)
		}
	}
}

func TestApiVersionsRequest(t *testing.T) {
	id := "abc"
	for _, c := range []struct {
		name    string
		version int16
		software,
		cluster *string
		ok bool
	}{
		{"v0 has no body", 0, nil, nil, true},
		{"v3", 3, ptr("franz-go"), nil, true},
		{"v5", 5, ptr("kgo.1-2"), &id, true},
		{"empty name (L7)", 3, ptr(""), nil, false},
		{"leading dash (L7)", 4, ptr("-x"), nil, false},
		{"space (L7)", 4, ptr("a b"), nil, false},
	} {
		q := kmsg.NewPtrApiVersionsRequest()
		q.SetVersion(c.version)
		if c.software != nil {
			q.ClientSoftwareName, q.ClientSoftwareVersion = *c.software, "1.0"
		}
		q.ClusterID, q.NodeID = c.cluster, 2
		got, ok := ParseApiVersionsRequest(q.AppendTo(nil), c.version)
		if ok != c.ok {
			t.Fatalf("%s: ok %t", c.name, ok)
		}
		if c.cluster != nil && (got.ClusterID == nil || *got.ClusterID != id || got.NodeID != 2) {
			t.Fatalf("%s: %+v", c.name, got)
		}
	}
}

// Row L6.
func TestApiVersionsUnsupported(t *testing.T) {
	b := Unsupported(VersionRange{0, 5}).Append(nil, 1, 0)
	r := kmsg.NewPtrApiVersionsResponse()
	if err := r.ReadFrom(b[4:]); err != nil || r.ErrorCode != 35 || len(r.ApiKeys) != 1 || r.ApiKeys[0].MaxVersion != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// Row L9: what all instances of a service answer.
func TestIntersect(t *testing.T) {
	got := Ranges{Fetch: {4, 18}, Produce: {3, 9}, Metadata: {0, 1}}.Intersect(Ranges{Fetch: {5, 17}, Produce: {10, 13}})
	if len(got) != 1 || got[Fetch] != (VersionRange{5, 17}) {
		t.Fatal(got)
	}
}

func ptr(s string) *string { return &s }
