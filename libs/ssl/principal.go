package ssl

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrNoRule reports a name that no rule matches (NoMatchingRule).
var ErrNoRule = errors.New("ssl: no principal mapping rule applies")

// PrincipalMapper makes the name of a principal of a certificate's distinguished name (SslPrincipalMapper, P17). The
// first rule that matches the whole name says how.
type PrincipalMapper struct{ rules []rule }

// rule is DEFAULT, the name itself, if it has no pattern.
type rule struct {
	text        string
	pattern     *regexp.Regexp
	replacement string
	change      func(string) string // of case, or nil
}

// ParsePrincipalRules reads rules separated by commas, each DEFAULT or RULE:pattern/replacement/ with L or U behind it
// for lower or upper case. A slash in pattern or replacement is written \/. Nothing at all is DEFAULT. Patterns are Go's
// (RE2), which have all of Java's but looking around and back.
func ParsePrincipalRules(text string) (*PrincipalMapper, error) {
	m := &PrincipalMapper{}
	if strings.TrimSpace(text) == "" {
		text = "DEFAULT"
	}
	for rest := trimEmpty(text); rest != ""; rest = trimEmpty(rest) {
		r, after, err := parseRule(rest)
		if err != nil {
			return nil, err
		}
		m.rules = append(m.rules, r)
		rest = strings.TrimSpace(after)
		if rest != "" && rest[0] != ',' {
			return nil, fmt.Errorf("a comma is missing before %q", rest)
		}
	}
	return m, nil
}

// trimEmpty skips the comma after a rule, and rules without a letter, as Kafka does.
func trimEmpty(s string) string { return strings.TrimLeft(s, ", \t\r\n") }

func parseRule(s string) (r rule, rest string, _ error) {
	if rest, ok := strings.CutPrefix(s, "DEFAULT"); ok {
		return rule{text: "DEFAULT"}, rest, nil
	}
	body, ok := strings.CutPrefix(s, "RULE:")
	pattern, body, ok1 := cutSlash(body)
	replacement, rest, ok2 := cutSlash(body)
	if !ok || !ok1 || !ok2 {
		return r, "", fmt.Errorf("%q is neither DEFAULT nor RULE:pattern/replacement/ with L or U", s)
	}
	var err error
	r = rule{replacement: replacement}
	// The name as a whole must match.
	if r.pattern, err = regexp.Compile(`^(?:` + pattern + `)$`); err != nil {
		return r, "", fmt.Errorf("pattern %q: %w", pattern, err)
	}
	switch {
	case strings.HasPrefix(rest, "L"):
		r.change, rest = strings.ToLower, rest[1:]
	case strings.HasPrefix(rest, "U"):
		r.change, rest = strings.ToUpper, rest[1:]
	}
	r.text = s[:len(s)-len(rest)]
	return r, rest, nil
}

// cutSlash cuts at the first slash that has no backslash before it.
func cutSlash(s string) (before, after string, found bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '/':
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// Name maps a distinguished name; the error is ErrNoRule.
func (m *PrincipalMapper) Name(dn string) (string, error) {
	for _, r := range m.rules {
		if name, ok := r.apply(dn); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w to %s", ErrNoRule, dn)
}

// String is the rules as they were read.
func (m *PrincipalMapper) String() string {
	var all []string
	for _, r := range m.rules {
		all = append(all, r.text)
	}
	return strings.Join(all, ",")
}

func (r *rule) apply(dn string) (string, bool) {
	if r.pattern == nil {
		return dn, true
	}
	groups := r.pattern.FindStringSubmatch(dn)
	if groups == nil {
		return "", false
	}
	name := expand(r.replacement, groups)
	if r.change != nil {
		name = r.change(name)
	}
	return name, true
}

// expand puts groups in for $1 and so on, as Java reads it: as many digits as there are groups for. A group that does
// not exist stands for itself, a backslash takes the next character as it is.
func expand(replacement string, groups []string) string {
	var b strings.Builder
	for i := 0; i < len(replacement); i++ {
		c := replacement[i]
		switch {
		case c == '\\' && i+1 < len(replacement):
			i++
			b.WriteByte(replacement[i])
		case c == '$':
			number, digits := groupNumber(replacement[i+1:], len(groups))
			if digits == 0 {
				b.WriteByte(c)
				continue
			}
			b.WriteString(groups[number])
			i += digits
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func groupNumber(s string, groups int) (number, digits int) {
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		next := number*10 + int(s[digits]-'0')
		if next >= groups {
			break
		}
		number, digits = next, digits+1
	}
	return number, digits
}
