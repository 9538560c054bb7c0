package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// echo answers who asks, and what; "none" is not found.
func echo(_ context.Context, q url.Values) (any, error) {
	if err := Known(q, "name", "limit"); err != nil {
		return nil, err
	}
	name, err := Need(q, "name")
	if err != nil {
		return nil, err
	}
	if name == "none" {
		return nil, fmt.Errorf("%w: none", ErrNotFound)
	}
	limit, err := Limit(q)
	return Done{fmt.Sprintf("%s asks for %d of %s", Asker(q), limit, name)}, err
}

func ask(h http.Handler, method, target, authorization string) (int, map[string]any) {
	r := httptest.NewRequest(method, target, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := map[string]any{}
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer
}

func TestPage(t *testing.T) {
	for target, want := range map[string]struct {
		status int
		says   string
	}{
		"/?name=a":           {200, "somebody asks for 100 of a"},
		"/?name=a&limit=7":   {200, "for 7 of a"},
		"/?name=a&limit=501": {400, "1 to 500"},
		"/?name=a&limit=x":   {400, `"x"`},
		"/?limit=1":          {400, "name is missing"},
		"/?name=a&nmae=b":    {400, `"nmae"`},
		"/?name=none":        {404, "none"},
	} {
		status, answer := ask(Page(echo), "GET", target, "")
		if text := fmt.Sprint(answer["done"], answer["error"]); status != want.status || !strings.Contains(text, want.says) {
			t.Errorf("%s: %d %s, want %+v", target, status, text, want)
		}
	}
}

// Actions are for those who know the token, by POST where the page is such; the
// address that asks is named whatever the question says.
func TestAction(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("POST /off", Action("", echo))
	mux.Handle("POST /on", Action("secret", echo))
	for name, c := range map[string]struct {
		method, target, authorization string
		status                        int
		says                          string
	}{
		"no token is set":       {"POST", "/off?name=a", "Bearer secret", 403, "KANAL_HTTP_TOKEN"},
		"an empty one":          {"POST", "/off?name=a", "Bearer ", 403, "KANAL_HTTP_TOKEN"},
		"none is sent":          {"POST", "/on?name=a", "", 403, "Bearer"},
		"another":               {"POST", "/on?name=a", "Bearer secre", 403, "Bearer"},
		"not in its form":       {"POST", "/on?name=a", "secret", 403, "Bearer"},
		"in the query":          {"POST", "/on?name=a&token=secret", "", 403, "Bearer"},
		"the right one":         {"POST", "/on?name=a&by=root", "Bearer secret", 200, "192.0.2.1:1234 asks"},
		"a link that is opened": {"GET", "/on?name=a", "Bearer secret", 405, ""},
	} {
		status, answer := ask(mux, c.method, c.target, c.authorization)
		if text := fmt.Sprint(answer["done"], answer["error"]); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s, want %d %s", name, status, text, c.status, c.says)
		}
	}
}

func TestCut(t *testing.T) {
	if got := Cut(strings.Repeat("x", 1000)); len(got) != longest || Cut("short") != "short" {
		t.Error(len(got))
	}
	if by := Asker(url.Values{By: {strings.Repeat("x", 1000)}}); len(by) > 256 {
		t.Error(len(by))
	}
}
