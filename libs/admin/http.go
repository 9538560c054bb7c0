package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// status is the HTTP status of an error.
func status(err error) int {
	switch {
	case errors.Is(err, ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

// Page answers a verb over HTTP, with the query as arguments.
func Page(do Verb) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), Timeout)
		defer cancel()
		answer, err := do(ctx, r.URL.Query())
		if err != nil {
			write(w, status(err), failure{err.Error(), status(err)})
			return
		}
		write(w, http.StatusOK, answer)
	})
}

// Action answers a verb that changes something, to those who know the token: in
// a header "Authorization: Bearer <token>". Without a token it is refused to all.
// The log names the address that asked.
func Action(token string, do Verb) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reason := refusal(token, r.Header.Get("Authorization")); reason != "" {
			write(w, http.StatusForbidden, failure{reason, http.StatusForbidden})
			return
		}
		q := r.URL.Query()
		q.Set(By, r.RemoteAddr)
		r.URL.RawQuery = q.Encode()
		Page(do).ServeHTTP(w, r)
	})
}

// refusal compares hashes, which takes the same time whatever was sent.
func refusal(token, header string) string {
	if token == "" {
		return "actions over HTTP are off: set KANAL_HTTP_TOKEN, or use kanalctl"
	}
	given, bearer := strings.CutPrefix(header, "Bearer ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !bearer {
		return "want the header Authorization: Bearer with the token of KANAL_HTTP_TOKEN"
	}
	return ""
}

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // whoever asked may be gone
}
