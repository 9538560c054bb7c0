package ssl

import (
	"errors"
	"strings"
	"testing"
)

// testValidRules, testRulesSplitting.
func TestRulesAreSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"": {"DEFAULT"}, " ": {"DEFAULT"}, "DEFAULT": {"DEFAULT"}, ",   ,": nil, ",,DEFAULT,,": {"DEFAULT"},
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/":           {"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/"},
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, DEFAULT": {"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L", "DEFAULT"},
		`RULE:\/a/b\//U , RULE:x,y/z,/`:                   {`RULE:\/a/b\//U`, "RULE:x,y/z,/"},
	} {
		m, err := ParsePrincipalRules(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := m.String(); got != strings.Join(want, ",") {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// testInvalidRules, and a pattern that is none.
func TestInvalidRules(t *testing.T) {
	for _, text := range []string{
		"default", "DEFAUL", "DEFAULT/L", "DEFAULT/U", "RULE:CN=(.*?),OU=ServiceUsers.*/$1", "rule:^CN=(.*?),OU=ServiceUsers.*$/$1/",
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L/U", "RULE:^CN=(.*?),OU=ServiceUsers.*$/L", "RULE:^CN=(.*?),OU=ServiceUsers.*$/U",
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/LU", "RULE:^CN=(.*?)$/$1/ DEFAULT", "RULE:(/$1/", "RULE:", "RULE:a",
	} {
		if m, err := ParsePrincipalRules(text); err == nil {
			t.Errorf("%q became %v", text, m)
		}
	}
}

// Row P17; testSslPrincipalMapper, testCommaWithWhitespace: the first rule that matches the whole name.
func TestPrincipalOfName(t *testing.T) {
	const rules = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, " +
		"RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, " +
		"RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U, RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U, DEFAULT"
	for _, c := range []struct{ rules, dn, want string }{
		{rules, "CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke"},
		{rules, "CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme"},
		{rules, "cn=duke,ou=sme,dc=mycp,dc=com", "DUKE@SME"},
		{rules, "cN=duke,OU=JavaSoft,O=Sun Microsystems", "DUKE"},
		{rules, "OU=JavaSoft,O=Sun Microsystems,C=US", "OU=JavaSoft,O=Sun Microsystems,C=US"},
		{`RULE:^CN=((\\, *|\w)+)(,.*|$)/$1/,DEFAULT`, `CN=Tkac\, Adam,OU=ITZ,DC=geodis,DC=cz`, `Tkac\, Adam`},
		{"RULE:CN=(.*)/$1$2$12-$x$/", "CN=a", "a$2a2-$x$"}, // groups that do not exist stand for themselves
		{`RULE:CN=(.*)/\$1\/$1/`, "CN=a", "$1/a"},
		{"RULE:CN=a|CN=ab/x/", "CN=ab", "x"}, // the whole name, whichever branch
	} {
		m, err := ParsePrincipalRules(c.rules)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Name(c.dn); got != c.want || err != nil {
			t.Errorf("%s by %s became %q, %v; want %q", c.dn, c.rules, got, err, c.want)
		}
	}
	m, err := ParsePrincipalRules("RULE:CN=a/x/")
	if err != nil {
		t.Fatal(err)
	}
	for _, dn := range []string{"CN=ab", "O=x,CN=a", ""} {
		if got, err := m.Name(dn); !errors.Is(err, ErrNoRule) {
			t.Errorf("%q became %q, %v", dn, got, err)
		}
	}
}

// What was read prints as what reads the same.
func FuzzPrincipalRules(f *testing.F) {
	f.Add("RULE:^CN=(.*?),OU=(.*)$/$1@$2/L, DEFAULT", "CN=a,OU=b")
	f.Add(`RULE:\/(.)/\$1$1\//U`, "/x")
	f.Fuzz(func(t *testing.T, rules, dn string) {
		m, err := ParsePrincipalRules(rules)
		if err != nil {
			return
		}
		name, err := m.Name(dn)
		if len(m.rules) == 0 {
			return
		}
		again, err2 := ParsePrincipalRules(m.String())
		if err2 != nil {
			t.Fatalf("%q became %q, which is refused: %v", rules, m, err2)
		}
		if name2, err2 := again.Name(dn); name2 != name || (err == nil) != (err2 == nil) {
			t.Fatalf("%q maps %q to %q, then to %q", rules, dn, name, name2)
		}
	})
}
