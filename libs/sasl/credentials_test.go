package sasl

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ScramCredentialUtilsTest: what is written is read again, and nothing else is.
func TestScramCredentialText(t *testing.T) {
	c, err := NewScramCredential(ScramSHA256, "secret", 8192)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseScramCredential(ScramSHA256, c.String())
	if err != nil || again.String() != c.String() || again.Iterations != 8192 {
		t.Fatalf("%v, %v", again, err)
	}
	other, _ := NewScramCredential(ScramSHA256, "secret", 8192)
	if bytes.Equal(other.Salt, c.Salt) || bytes.Equal(other.StoredKey, c.StoredKey) { // generateCredential
		t.Error("two credentials of a password are alike")
	}
	for name, text := range map[string]string{
		"empty": "", "another mechanism": c.String(), "a field missing": strings.Replace(c.String(), ",iterations=8192", "", 1),
		"too few iterations": strings.Replace(c.String(), "8192", "4095", 1), "an unknown field": c.String() + ",x=1",
		"no base64": strings.Replace(c.String(), "salt=", "salt=!", 1), "a field twice": c.String() + ",iterations=8192",
	} {
		mechanism := ScramSHA256
		if name == "another mechanism" {
			mechanism = ScramSHA512
		}
		if _, err := ParseScramCredential(mechanism, text); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, iterations := range []int{0, 4095, 16385} {
		if _, err := NewScramCredential(ScramSHA512, "x", iterations); err == nil {
			t.Errorf("%d iterations were taken", iterations)
		}
	}
	if _, err := NewScramCredential("SCRAM-SHA-1", "x", 4096); err == nil {
		t.Error("SCRAM-SHA-1 was taken")
	}
}

func TestCredentialsFile(t *testing.T) {
	c, err := NewScramCredential(ScramSHA512, "secret", 4096)
	if err != nil {
		t.Fatal(err)
	}
	content := "# users\r\n\n  \nbob:PLAIN=pa:ss = word \nal:ice:SCRAM-SHA-512=" + c.String() + "\nbob:SCRAM-SHA-512=" + c.String() + "\nx:PLAIN=y:PLAIN=z"
	table, err := parseCredentials(content)
	if err != nil {
		t.Fatal(err)
	}
	if p := table.passwords; len(p) != 2 || p["bob"] != "pa:ss = word " || p["x"] != "y:PLAIN=z" {
		t.Errorf("%q", p)
	}
	if got := table.scram[ScramSHA512+":al:ice"]; len(table.scram) != 2 || got.String() != c.String() {
		t.Errorf("%v", table.scram)
	}
	_, err = parseCredentials("bob\nbob:PLAIN=\n:PLAIN=hunter2\nbob:SCRAM-SHA-1=hunter2\nbob:SCRAM-SHA-256=hunter2\neve:PLAIN=hunter2\neve:PLAIN=hunter2")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
	for _, line := range []string{"line 1", "line 2", "line 3", "line 4", "line 5", "line 7"} {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("%v does not name %s", err, line)
		}
	}
}

// A change counts, a mistake or a file that is gone leaves all as it was.
func TestCredentialsFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	var log bytes.Buffer
	if _, err := OpenCredentialsFile(path, quiet); err == nil {
		t.Error("opened without a file")
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("bob:PLAIN=one")
	f, err := OpenCredentialsFile(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func()
		want   string
	}{
		{func() {}, "one"},
		{func() { write("bob:PLAIN=two!") }, "two!"},
		{func() { write("bob:nonsense") }, "two!"},
		{func() { _ = os.Remove(path) }, "two!"},
		{func() { write("bob:PLAIN=three") }, "three"},
		{func() { // the same size, another time
			write("bob:PLAIN=forty")
			_ = os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
		}, "forty"},
	} {
		c.change()
		f.look()
		if got, _ := f.Password("bob"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || strings.Contains(log.String(), "two!") {
		t.Errorf("%d errors in %s", n, log.String())
	}
}

func TestStores(t *testing.T) {
	first, second := &store{passwords: map[string]string{"bob": "first"}}, newStore(t)
	s := Stores{first, second}
	if p, ok := s.Password("bob"); !ok || p != "first" {
		t.Error(p)
	}
	if _, ok := s.Scram("alice", ScramSHA256); !ok {
		t.Error("the second store was not asked")
	}
	if _, ok := s.Scram("eve", ScramSHA256); ok {
		t.Error("nobody was found")
	}
	if _, ok := s.Password("eve"); ok {
		t.Error("nobody was found")
	}
}
