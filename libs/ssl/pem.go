package ssl

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// parseCertificates takes every CERTIFICATE block of a PEM text; whatever stands around the blocks is no matter.
func parseCertificates(b []byte) (all []*x509.Certificate, _ error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in the PEM file")
	}
	return all, nil
}

var errEncrypted = errors.New("the key is encrypted: openssl pkey takes the encryption off")

// checkKey names what crypto/tls would call a key that cannot be parsed.
func checkKey(b []byte) error {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errEncrypted
		}
	}
}
