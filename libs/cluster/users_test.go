package cluster

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func scramUser(name string) *User {
	return &User{name, map[string]ScramCredential{"SCRAM-SHA-256": {[]byte("salt"), bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), 4096}}}
}

// Every name has a key of its own that NATS takes.
func TestUserKeys(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"alice", "Alice", "a.b", "a=2Eb", "a b", "ü", "*", ">", "a,b", "-_", "User:x"} {
		key := userKey(name)
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q have the key %s", name, other, key)
		}
		seen[key] = name
		if strings.ContainsAny(strings.TrimPrefix(key, userPrefix), ".*> ") {
			t.Errorf("%q has the key %s", name, key)
		}
		value, err := scramUser(name).encode()
		if err != nil {
			t.Fatal(err)
		}
		if u, err := decodeUser(key, value); err != nil || u.Name != name || u.Scram["SCRAM-SHA-256"].Iterations != 4096 {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
}

func TestInvalidUsers(t *testing.T) {
	for name, change := range map[string]func(*userEntry){
		"version":    func(e *userEntry) { e.Version = 2 },
		"name":       func(e *userEntry) { e.Name = "bob" },
		"none":       func(e *userEntry) { e.Scram = nil },
		"mechanism":  func(e *userEntry) { e.Scram["PLAIN"] = e.Scram["SCRAM-SHA-256"] },
		"other keys": func(e *userEntry) { e.Scram["SCRAM-SHA-512"] = e.Scram["SCRAM-SHA-256"] },
		"iterations": func(e *userEntry) {
			c := e.Scram["SCRAM-SHA-256"]
			c.Iterations = 4095
			e.Scram["SCRAM-SHA-256"] = c
		},
		"salt": func(e *userEntry) {
			c := e.Scram["SCRAM-SHA-256"]
			c.Salt = nil
			e.Scram["SCRAM-SHA-256"] = c
		},
	} {
		e := userEntry{Version: userVersion, Name: "alice", Scram: scramUser("alice").Scram}
		change(&e)
		value, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeUser(userKey("alice"), value); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 256), "a\x00b", "a\nb", "\xff"} {
		if ValidateUserName(name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

// An entry that cannot be read leaves its user as it was; a deletion does not need one that can.
func TestUsersInSnapshots(t *testing.T) {
	b := newBuilder(&snapshot{})
	value, err := scramUser("alice").encode()
	if err != nil {
		t.Fatal(err)
	}
	key := userKey("alice")
	if err := b.put(key, value, 1); err != nil || b.snapshot().users["alice"] == nil {
		t.Fatal(err)
	}
	if err := b.put(key, []byte("{"), 2); err == nil || b.snapshot().users["alice"] == nil {
		t.Fatal(err)
	}
	if b.remove(key, 3); b.snapshot().users["alice"] != nil {
		t.Fatal("still there")
	}
}
