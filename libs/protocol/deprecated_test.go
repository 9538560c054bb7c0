package protocol

import "testing"

// KIP-896: what Kafka 4 has removed is deprecated, the version after it is not, and nothing that Release offers at its
// newest version is.
func TestDeprecatedVersions(t *testing.T) {
	tests := []struct {
		key     APIKey
		version int16
		want    bool
	}{
		{Produce, 2, true}, {Produce, 3, false}, {Fetch, 3, true}, {Fetch, 4, false}, {CreateTopics, 1, true},
		{CreateTopics, 2, false}, {Metadata, 0, false}, {ApiVersions, 0, false}, {JoinGroup, 0, false},
	}
	for _, test := range tests {
		if got := test.key.Deprecated(test.version); got != test.want {
			t.Errorf("%s version %d: deprecated is %v", test.key, test.version, got)
		}
	}
	for key, versions := range Release() {
		if key.Deprecated(versions.Max) {
			t.Errorf("the newest version of %s, %d, is deprecated", key, versions.Max)
		}
	}
}
