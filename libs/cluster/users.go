package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/future"
)

// ErrUnknownUser means that nothing is stored about a user (RESOURCE_NOT_FOUND).
var ErrUnknownUser = errors.New("cluster: unknown user")

// User is what is stored about one user: credentials by SCRAM mechanism, never
// a password (UserScramCredentialRecord). It is immutable: changes make a new
// one.
type User struct {
	Name  string
	Scram map[string]ScramCredential
}

// ScramCredential is what a server keeps of a password for one mechanism.
type ScramCredential struct {
	Salt       []byte `json:"salt"`
	StoredKey  []byte `json:"storedKey"`
	ServerKey  []byte `json:"serverKey"`
	Iterations int    `json:"iterations"`
}

// scramKeys are the mechanisms with the length of their keys.
var scramKeys = map[string]int{"SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64}

// minScramIterations is Kafka's least for both mechanisms.
const minScramIterations = 4096

// Mechanisms lists those that the user has a credential for.
func (u *User) Mechanisms() []string { return slices.Sorted(maps.Keys(u.Scram)) }

const userVersion = 1

// userEntry is the stored form.
type userEntry struct {
	Version int                        `json:"version"`
	Name    string                     `json:"name"`
	Scram   map[string]ScramCredential `json:"scram"`
	future.Fields
}

func (u *User) encode() ([]byte, error) {
	return json.Marshal(userEntry{Version: userVersion, Name: u.Name, Scram: u.Scram})
}

// decodeUser trusts nothing in an entry; its errors repeat no key of it.
func decodeUser(key string, value []byte) (*User, error) {
	var e userEntry
	if err := json.Unmarshal(value, &e); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, key, err)
	}
	u := &User{e.Name, e.Scram}
	switch {
	case e.Version != userVersion:
		return nil, fmt.Errorf("%w: %s: version %d, this build reads %d", ErrInvalidEntry, key, e.Version, userVersion)
	case userKey(e.Name) != key:
		return nil, fmt.Errorf("%w: %s: names user %q", ErrInvalidEntry, key, e.Name)
	}
	if err := u.validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, key, err)
	}
	return u, nil
}

func (u *User) validate() error {
	if err := ValidateUserName(u.Name); err != nil {
		return err
	}
	if len(u.Scram) == 0 {
		return errors.New("no credential")
	}
	for mechanism, c := range u.Scram {
		size, ok := scramKeys[mechanism]
		switch {
		case !ok:
			return fmt.Errorf("mechanism %q", mechanism)
		case len(c.Salt) == 0 || len(c.StoredKey) != size || len(c.ServerKey) != size:
			return fmt.Errorf("%s: salt and keys of %d, %d and %d bytes", mechanism, len(c.Salt), len(c.StoredKey), len(c.ServerKey))
		case c.Iterations < minScramIterations:
			return fmt.Errorf("%s: %d iterations: want at least %d", mechanism, c.Iterations, minScramIterations)
		}
	}
	return nil
}

// maxUserName bounds a name, in bytes.
const maxUserName = 255

// ValidateUserName tells what is wrong with a user's name
// (UNACCEPTABLE_CREDENTIAL); nil for a good one.
func ValidateUserName(name string) error {
	switch {
	case name == "":
		return errors.New("the user has no name")
	case len(name) > maxUserName:
		return fmt.Errorf("a user's name of %d bytes: want at most %d", len(name), maxUserName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("a user's name with control characters: %q", name)
	}
	return nil
}

// User finds a user; nil when there is none.
func (r *Registry) User(name string) *User { return r.now.Load().users[name] }

// Users lists all users by name.
func (r *Registry) Users() []*User {
	users := r.now.Load().users
	list := make([]*User, 0, len(users))
	for _, name := range slices.Sorted(maps.Keys(users)) {
		list = append(list, users[name])
	}
	return list
}

// UpdateUser changes a user, who need not be there yet: change gets a copy of
// what is stored, may refuse by returning an error, and may be called several
// times when others change the user at the same time. A user that is left
// without a credential is deleted. It gives the revision that Wait takes.
func (r *Registry) UpdateUser(ctx context.Context, name string, change func(*User) error) (revision uint64, err error) {
	if err := ValidateUserName(name); err != nil {
		return 0, err
	}
	for {
		u, stored, err := r.readUser(ctx, name)
		if err != nil {
			return 0, err
		}
		if err := change(u); err != nil {
			return 0, err
		}
		if revision, err = r.writeUser(ctx, u, stored); err == nil {
			return revision, nil
		}
		if !isConflict(err) {
			return 0, fmt.Errorf("update user %q: %w", name, err)
		}
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
}

// readUser reads the stored entry with its revision, 0 for a user that is not
// there.
func (r *Registry) readUser(ctx context.Context, name string) (*User, uint64, error) {
	e, err := r.kv.Get(ctx, userKey(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return &User{name, map[string]ScramCredential{}}, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read user %q: %w", name, err)
	}
	u, err := decodeUser(e.Key(), e.Value())
	return u, e.Revision(), err
}

func (r *Registry) writeUser(ctx context.Context, u *User, stored uint64) (uint64, error) {
	key := userKey(u.Name)
	if len(u.Scram) == 0 {
		if stored == 0 {
			return 0, fmt.Errorf("%w: %q", ErrUnknownUser, u.Name)
		}
		return 0, r.kv.Delete(ctx, key, jetstream.LastRevision(stored))
	}
	if err := u.validate(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalidEntry, err)
	}
	value, err := u.encode()
	if err != nil {
		return 0, err
	}
	if stored == 0 {
		return r.kv.Create(ctx, key, value)
	}
	return r.kv.Update(ctx, key, value, stored)
}

const userPrefix = "users."

// userKey is the KV key of a user. What is not legal in a key, and '.', which is
// not at its end, is written as '=' with two hexadecimal digits for each byte.
func userKey(name string) string {
	b := []byte(userPrefix)
	for i := range len(name) {
		if c := name[i]; plainInKey(c) {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "=%02X", c)
		}
	}
	return string(b)
}

func plainInKey(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
}
