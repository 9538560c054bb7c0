package ssl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Engine is one version of a listener's TLS, immutable (SslEngineFactory).
type Engine struct {
	TLS    *tls.Config
	Mapper *PrincipalMapper
	leaf   *x509.Certificate
}

// NewEngine reads the files and checks everything; the error has an Invalid for each setting that is wrong.
func NewEngine(c Config, now time.Time) (*Engine, error) {
	settings, mapper, err := c.settings()
	errs := []error{err}
	e := &Engine{TLS: settings, Mapper: mapper}
	certificate, err := readCertificate(c, now)
	if err != nil {
		errs = append(errs, err)
	} else {
		e.leaf = certificate.Leaf
		e.TLS.Certificates = []tls.Certificate{*certificate}
	}
	if c.TrustedFile != "" {
		e.TLS.ClientCAs, err = readTrusted(c.TrustedFile)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e, nil
}

// Expires is when the certificate does.
func (e *Engine) Expires() time.Time { return e.leaf.NotAfter }

func readCertificate(c Config, now time.Time) (*tls.Certificate, error) {
	chain, err := read(SettingCertificate, c.CertificateFile)
	if err != nil {
		return nil, err
	}
	keyFile := c.KeyFile
	if keyFile == "" {
		keyFile = c.CertificateFile
	}
	key, err := read(SettingKey, keyFile)
	if err != nil {
		return nil, err
	}
	if _, err := parseCertificates(chain); err != nil {
		return nil, &Invalid{SettingCertificate, c.CertificateFile, err}
	}
	if err := checkKey(key); err != nil {
		return nil, &Invalid{SettingKey, keyFile, err}
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, &Invalid{SettingKey, keyFile, err}
	}
	if err := inTime(pair.Leaf, now); err != nil {
		return nil, &Invalid{SettingCertificate, c.CertificateFile, err}
	}
	return &pair, nil
}

func read(setting, file string) ([]byte, error) {
	if file == "" {
		return nil, &Invalid{setting, `""`, errors.New("a PEM file is needed")}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, &Invalid{setting, file, err}
	}
	return b, nil
}

func inTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate of %s expired on %s", DistinguishedName(c), c.NotAfter.Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate of %s is valid only from %s", DistinguishedName(c), c.NotBefore.Format(time.RFC3339))
	}
	return nil
}

func readTrusted(file string) (*x509.CertPool, error) {
	b, err := read(SettingTrusted, file)
	if err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(b)
	if err != nil {
		return nil, &Invalid{SettingTrusted, file, err}
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return pool, nil
}

// compatible tells why an engine may not take the place of another while connections are accepted: clients that trusted
// the old certificate would not know the new one (P21).
func compatible(old, new *Engine, c Config) error {
	var errs []error
	before, after := DistinguishedName(old.leaf), DistinguishedName(new.leaf)
	if !c.AllowDNChanges && !strings.EqualFold(before, after) {
		errs = append(errs, fmt.Errorf("the subject changes from %s to %s", before, after))
	}
	names := alternativeNames(new.leaf)
	missing := slices.DeleteFunc(alternativeNames(old.leaf), func(n string) bool { return slices.Contains(names, n) })
	if !c.AllowSANChanges && len(missing) > 0 {
		errs = append(errs, fmt.Errorf("these names are missing: %s", strings.Join(missing, ", ")))
	}
	if len(errs) > 0 {
		return &Invalid{SettingCertificate, c.CertificateFile, errors.Join(errs...)}
	}
	return nil
}

func alternativeNames(c *x509.Certificate) []string {
	names := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}
