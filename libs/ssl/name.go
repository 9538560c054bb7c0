package ssl

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
)

// keywords are the attribute types that Java prints by name in RFC 2253 form; all others are numbers.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU",
	"2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type relativeSET []attribute // the name's ending tells encoding/asn1 that it is a SET

// DistinguishedName is a certificate's subject as Java's X500Principal.getName prints it, which mapping rules and access
// lists are written for.
func DistinguishedName(c *x509.Certificate) string {
	var name []relativeSET
	if _, err := asn1.Unmarshal(c.RawSubject, &name); err != nil {
		return c.Subject.String() // x509 has parsed it before: cannot happen
	}
	slices.Reverse(name)
	var parts []string
	for _, r := range name {
		var attributes []string
		for _, a := range r {
			attributes = append(attributes, a.String())
		}
		parts = append(parts, strings.Join(attributes, "+"))
	}
	return strings.Join(parts, ",")
}

func (a attribute) String() string {
	keyword, known := keywords[a.Type.String()]
	switch a.Value.Tag {
	case asn1.TagPrintableString, asn1.TagT61String, asn1.TagIA5String, asn1.TagGeneralString, asn1.TagBMPString, asn1.TagUTF8String:
		if known {
			return keyword + "=" + escape(string(a.Value.Bytes))
		}
	}
	if !known {
		keyword = a.Type.String()
	}
	return keyword + "=#" + hex.EncodeToString(a.Value.FullBytes)
}

// escape also escapes = and # anywhere, as Java does and RFC 2253 allows.
func escape(value string) string {
	inner := strings.Trim(value, " \r")
	lead := strings.Index(value, inner)
	var b strings.Builder
	for i, c := range value {
		switch {
		case c == 0:
			b.WriteString(`\00`)
			continue
		case i < lead || i >= lead+len(inner), strings.ContainsRune(`,=+<>#;"\`, c):
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
