package sasl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// KeySet is a JSON Web Key Set that follows its source, a file or an http(s) URL: read again every so often, and early
// when a token names a key that is not in it (RefreshingHttpsJwks).
type KeySet struct {
	source  string
	refresh time.Duration
	log     *slog.Logger
	client  http.Client
	early   chan struct{}

	mu     sync.Mutex
	keys   []jose.JSONWebKey // guarded by mu; replaced whole
	tried  time.Time         // guarded by mu: the last read began
	change chan struct{}     // guarded by mu: closed after the next read
}

const (
	// readTimeout bounds one reading of a URL.
	readTimeout = 5 * time.Second
	// keySetBytes bounds what is read of a source.
	keySetBytes = 1 << 20
	// earlyPause is the least time between two readings that unknown keys bring about.
	earlyPause = 10 * time.Second
	// keyPatience is how long a login waits for such a reading.
	keyPatience = 2 * time.Second
	// After a failed reading the next comes sooner, at first after firstRetry (sasl.oauthbearer.jwks.endpoint.retry.*).
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// OpenKeySet reads a set. A file that cannot be read is an error; a URL that does not answer yet is asked again by
// Follow, and until it does no token is good.
func OpenKeySet(source string, refresh time.Duration, log *slog.Logger) (*KeySet, error) {
	k := &KeySet{
		source: source, refresh: refresh, log: log, client: http.Client{Timeout: readTimeout},
		early: make(chan struct{}, 1), change: make(chan struct{}),
	}
	if err := k.read(context.Background()); err != nil {
		if !isURL(source) {
			return nil, err
		}
		log.Warn("keys not read; asked again until they are", "source", source, "err", err)
	}
	return k, nil
}

func isURL(source string) bool {
	u, err := url.Parse(source)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// Follow reads the set again when it is time, until ctx ends.
func (k *KeySet) Follow(ctx context.Context) {
	pause := k.refresh
	if len(k.current()) == 0 {
		pause = firstRetry
	}
	for {
		if !k.sleep(ctx, pause) {
			return
		}
		if err := k.read(ctx); err != nil {
			k.log.Warn("keys not read again; those of before hold", "source", k.source, "err", err)
			pause = min(max(2*pause, firstRetry), lastRetry)
			if pause >= k.refresh {
				pause = k.refresh
			}
			continue
		}
		pause = k.refresh
	}
}

// sleep ends early when a key is missed; false when ctx has ended.
func (k *KeySet) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-k.early:
	case <-ctx.Done():
		return false
	}
	return true
}

// read replaces the keys and tells who waits for that, also where it fails.
func (k *KeySet) read(ctx context.Context) error {
	k.mu.Lock()
	k.tried = time.Now()
	k.mu.Unlock()
	keys, err := k.load(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.keys = keys
	}
	close(k.change)
	k.change = make(chan struct{})
	return err
}

func (k *KeySet) load(ctx context.Context) ([]jose.JSONWebKey, error) {
	content, err := k.content(ctx)
	if err != nil {
		return nil, err
	}
	return parseKeys(content)
}

func (k *KeySet) content(ctx context.Context) ([]byte, error) {
	if !isURL(k.source) {
		return os.ReadFile(k.source)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, k.source, nil)
	if err != nil {
		return nil, err
	}
	r, err := k.client.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, keySetBytes))
}

// parseKeys keeps the public keys that sign; one that is not understood does not spoil the others.
func parseKeys(content []byte) (keys []jose.JSONWebKey, _ error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.IsPublic() && key.Valid() && (key.Use == "" || strings.EqualFold(key.Use, "sig")) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key for signatures in the JSON Web Key Set")
	}
	return keys, nil
}

func (k *KeySet) current() []jose.JSONWebKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys
}

// find gives the keys of an id, or all for a token that names none. It waits a little for a set that is read early,
// because clients take a failed authentication for final.
func (k *KeySet) find(id string) []jose.JSONWebKey {
	found := k.named(id)
	if len(found) > 0 {
		return found
	}
	changed := k.askEarly()
	if changed == nil {
		return nil
	}
	select {
	case <-changed:
	case <-time.After(keyPatience):
	}
	return k.named(id)
}

func (k *KeySet) named(id string) (found []jose.JSONWebKey) {
	for _, key := range k.current() {
		if id == "" || key.KeyID == id {
			found = append(found, key)
		}
	}
	return found
}

// askEarly asks Follow for a reading and gives what is closed after it; nil when the last was only just.
func (k *KeySet) askEarly() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.tried) < earlyPause {
		return nil
	}
	select {
	case k.early <- struct{}{}:
	default:
	}
	return k.change
}
