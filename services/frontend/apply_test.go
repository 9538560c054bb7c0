package frontend

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"kanal/libs/cluster"
	"kanal/libs/ssl/ssltest"
	"kanal/services/frontend/internal/requestlog"
)

// W10: a listener gets other certificates when its files are other ones, and only
// then; one whose files cannot be used is tried again.
func TestCertificatesChange(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	before, key := ssltest.Write(t, t.TempDir(), authority.Issue(t, "old", nil))
	after, newKey := ssltest.Write(t, t.TempDir(), authority.Issue(t, "new", nil))
	base, err := parse(t, map[string]string{
		"KANAL_LISTENERS": "A://h:100,B://h:200", "KANAL_LISTENER_A_PROTOCOL": "SSL",
		"KANAL_LISTENER_A_SSL_CERTIFICATE_FILE": before, "KANAL_LISTENER_A_SSL_KEY_FILE": key,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSubject(t, base)
	s.store(1, "max.connections", "5")
	if len(s.server.certified) != 0 {
		t.Fatalf("certificates of %v were changed", s.server.certified)
	}
	s.server.fail["certificates A"] = errors.New("no such file")
	s.store(2, "listener.name.a.ssl.keystore.location", after, "listener.name.a.kanal.ssl.key.location", newKey)
	if !s.unfinished || !strings.Contains(s.told.Error, "no such file") || find(s.listeners(), "A").TLS.CertificateFile != before {
		t.Fatalf("%+v runs, told %+v", s.listeners(), s.told)
	}
	clear(s.server.fail)
	s.look(context.Background())
	if tls := s.server.listeners["A"].TLS; s.unfinished || tls.CertificateFile != after || s.told.Applied != 2 || !reflect.DeepEqual(find(s.listeners(), "A").TLS, tls) {
		t.Fatalf("%+v runs, told %+v", s.listeners(), s.told)
	}
	s.look(context.Background())
	if len(s.server.certified) != 2 {
		t.Errorf("certificates were changed %d times", len(s.server.certified))
	}
}

// The request log is changed when it is to be another one, and only then, because
// a new one begins empty; one that cannot be is tried again.
func TestRequestLogChanges(t *testing.T) {
	base, _ := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:100"})
	s := newSubject(t, base)
	var logs []requestlog.Config
	var fail error
	s.logged = base.requestLog()
	s.logs = func(c requestlog.Config) error { logs = append(logs, c); return fail }
	s.store(1, "max.connections", "5")
	if len(logs) != 0 {
		t.Fatalf("changed to %+v", logs)
	}
	fail = errors.New("disk full")
	s.store(2, "kanal.request.log", "memory", "kanal.request.log.slow.ms", "7")
	if !s.unfinished || !strings.Contains(s.told.Error, "disk full") {
		t.Fatalf("told %+v", s.told)
	}
	fail = nil
	s.look(context.Background())
	s.look(context.Background())
	if len(logs) != 2 || logs[1].Output != requestlog.Memory || logs[1].Slow.Milliseconds() != 7 || s.unfinished {
		t.Errorf("changed to %+v", logs)
	}
}

// A name that stands for no address fails the quotas alone: the other steps are
// done.
func TestQuotasThatCannotBe(t *testing.T) {
	base, _ := parse(t, map[string]string{"KANAL_LISTENERS": "A://h:100"})
	s := newSubject(t, base)
	s.server.fail["quotas"] = errors.New("no such host")
	s.now = cluster.BrokerConfigs{Revision: 1, Values: map[string]string{"listeners": "B://h:100", "max.connections": "5"}}
	s.look(context.Background())
	if _, added := s.server.listeners["B"]; !added || len(s.server.listeners) != 1 || !strings.Contains(s.told.Error, "no such host") {
		t.Errorf("%+v, told %+v", s.server.listeners, s.told)
	}
}
