package sasl

import (
	"encoding/base64"
	"strings"
)

// clientFirst is n,a=AUTHORIZATION,n=USER,r=NONCE,extensions.
type clientFirst struct {
	header, bare        string // header with the comma at its end
	authorization, user string
	nonce               string
}

func parseClientFirst(message string) (f clientFirst, ok bool) {
	fields := strings.Split(message, ",")
	if len(fields) < 4 || fields[0] != "n" && fields[0] != "y" {
		return f, false // p is channel binding
	}
	if fields[1] != "" {
		if f.authorization, ok = nameField(fields[1], "a="); !ok {
			return f, false
		}
	}
	if f.user, ok = nameField(fields[2], "n="); !ok {
		return f, false
	}
	f.nonce, ok = strings.CutPrefix(fields[3], "r=")
	f.header = fields[0] + "," + fields[1] + ","
	f.bare = message[len(f.header):]
	return f, ok && f.nonce != ""
}

// nameField reads a name, in which a comma is =2C and an equals sign =3D.
func nameField(field, prefix string) (string, bool) {
	raw, ok := strings.CutPrefix(field, prefix)
	if !ok || raw == "" || strings.Count(raw, "=") != strings.Count(raw, "=2C")+strings.Count(raw, "=3D") {
		return "", false
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(raw), true
}

// clientFinal is c=HEADER,r=NONCE,extensions,p=PROOF.
type clientFinal struct {
	binding, nonce string
	proof          []byte
	withoutProof   string
}

func parseClientFinal(message string) (f clientFinal, ok bool) {
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return f, false
	}
	f.withoutProof = message[:at]
	fields := strings.Split(f.withoutProof, ",")
	if len(fields) < 2 {
		return f, false
	}
	binding, okBinding := base64Field(fields[0], "c=")
	proof, okProof := base64Field(message[at+1:], "p=")
	f.binding, f.proof = string(binding), proof
	f.nonce, ok = strings.CutPrefix(fields[1], "r=")
	return f, ok && okBinding && okProof
}

func base64Field(field, prefix string) ([]byte, bool) {
	raw, ok := strings.CutPrefix(field, prefix)
	b, err := base64.StdEncoding.DecodeString(raw)
	return b, ok && err == nil
}
