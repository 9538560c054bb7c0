package ssl

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"kanal/libs/ssl/ssltest"
)

// Row P17: names as Java prints them. What Java prints is by its documentation and by OpenJDK's AVA class.
func TestDistinguishedName(t *testing.T) {
	authority := ssltest.NewAuthority(t, "authority")
	attribute := func(oid asn1.ObjectIdentifier, value any) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oid, Value: value}
	}
	var (
		cn, o, dc = asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
		uid       = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
		serial    = asn1.ObjectIdentifier{2, 5, 4, 5}
		email     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	)
	for want, name := range map[string]pkix.RDNSequence{
		"CN=a,O=b":                         {{attribute(o, "b")}, {attribute(cn, "a")}}, // last first
		"UID=u,DC=kanal,DC=io":             {{attribute(dc, "io")}, {attribute(dc, "kanal")}, {attribute(uid, "u")}},
		"CN=a+UID=u,O=b":                   {{attribute(o, "b")}, {attribute(cn, "a"), attribute(uid, "u")}},
		`CN=a\,b\+c\"d\\e\<f\>g\;h\=i\#`:   {{attribute(cn, `a,b+c"d\e<f>g;h=i#`)}},
		`CN=\ \ a b\ `:                     {{attribute(cn, "  a b ")}},
		`CN=\ `:                            {{attribute(cn, " ")}},
		"CN=Zoë":                           {{attribute(cn, "Zoë")}},
		"2.5.4.5=#130131,CN=a":             {{attribute(cn, "a")}, {attribute(serial, "1")}},
		"1.2.840.113549.1.9.1=#0c03614062": {{attribute(email, "a@b")}},
		"":                                 {},
	} {
		c := authority.Issue(t, "", func(c *x509.Certificate) {
			raw, err := asn1.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			c.RawSubject = raw
		})
		if got := DistinguishedName(c.Leaf); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
