package frontend

import (
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
)

func apiVersions(version int16, software string) *kmsg.ApiVersionsRequest {
	q := kmsg.NewPtrApiVersionsRequest()
	q.SetVersion(version)
	q.ClientSoftwareName, q.ClientSoftwareVersion = software, "1.0"
	return q
}

func offered(r kmsg.Response) map[protocol.APIKey]protocol.VersionRange {
	out := map[protocol.APIKey]protocol.VersionRange{}
	for _, k := range r.(*kmsg.ApiVersionsResponse).ApiKeys {
		out[protocol.APIKey(k.ApiKey)] = protocol.VersionRange{Min: k.MinVersion, Max: k.MaxVersion}
	}
	return out
}

// TestApiVersionsAreTheHandlers: every version of the answer lists what the
// handlers have announced, and what the front end answers, under a header of version 0
// (L5, L9; testApiVersionsRequest, testApiVersionsRequestValidationV0,
// testApiScope).
func TestApiVersionsAreTheHandlers(t *testing.T) {
	f := start(t, nil)
	c := f.dial()
	want := map[protocol.APIKey]protocol.VersionRange{
		protocol.Metadata: {Min: 0, Max: 13}, protocol.Produce: {Min: 3, Max: 9},
		protocol.ApiVersions: {Min: 0, Max: 5}, protocol.SaslHandshake: {Min: 0, Max: 1}, protocol.SaslAuthenticate: {Min: 0, Max: 2},
	}
	for v := int16(0); v <= 5; v++ {
		r := c.ask(apiVersions(v, "tester")).(*kmsg.ApiVersionsResponse)
		if got := offered(r); r.ErrorCode != 0 || !maps.Equal(got, want) {
			t.Errorf("version %d: error %d, %v, want %v", v, r.ErrorCode, got, want)
		}
	}
	f.untouched()
}

// TestUnknownApiVersions: any version passes the gate, whatever its body is. The
// answer is readable by every client and tells what to ask instead; the
// connection stays (L6; testApiVersionsRequestWithUnsupportedVersion,
// testSerdeUnsupportedApiVersionRequest).
func TestUnknownApiVersions(t *testing.T) {
	f := start(t, nil)
	c := f.dial()
	for _, version := range []int16{6, 99, 32767} {
		c.send(header(protocol.ApiVersions, version, 77, ptr("test"), 0xde, 0xad, 0xbe, 0xef))
		r := kmsg.NewPtrApiVersionsResponse() // of version 0
		if err := r.ReadFrom(c.receive()[4:]); err != nil {
			t.Fatal(err)
		}
		if got := offered(r); r.ErrorCode != 35 || len(got) != 1 || got[protocol.ApiVersions] != (protocol.VersionRange{Min: 0, Max: 5}) {
			t.Errorf("version %d: error %d, %v", version, r.ErrorCode, got)
		}
	}
	f.served(c)
}

// TestClientSoftware: unknown until it is told, from version 3 on; what is no
// name is refused and changes nothing, also the connection; the last one told
// counts (L7; testClientInformationWithLatestApiVersionsRequest,
// testClientInformationWithOldestApiVersionsRequest,
// testApiVersionsRequestValidationV3).
func TestClientSoftware(t *testing.T) {
	f := start(t, nil)
	c := f.dial()
	var got []string
	software := func() {
		r := f.served(c)
		got = append(got, r.SoftwareName+" "+r.SoftwareVersion)
	}
	software()
	c.ask(apiVersions(0, ""))
	software()
	c.ask(apiVersions(3, "apache-kafka.java"))
	software()
	for _, bad := range []string{"", " ", "-x", "x.", "a b", "ü", "a/b"} {
		if r := c.ask(apiVersions(3, bad)).(*kmsg.ApiVersionsResponse); r.ErrorCode != 42 || len(r.ApiKeys) != 0 {
			t.Errorf("%q: error %d with %d keys", bad, r.ErrorCode, len(r.ApiKeys))
		}
	}
	software()
	c.ask(apiVersions(4, "other"))
	software()
	want := []string{" ", " ", "apache-kafka.java 1.0", "apache-kafka.java 1.0", "other 1.0"}
	if !slices.Equal(got, want) {
		t.Errorf("software %q, want %q", got, want)
	}
}
