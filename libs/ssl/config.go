package ssl

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config is what a listener's TLS is made of.
type Config struct {
	CertificateFile string // PEM: the certificate, then those of its issuers (ssl.keystore.certificate.chain)
	KeyFile         string // PEM: its private key; CertificateFile if empty (ssl.keystore.key)
	TrustedFile     string // PEM: who may have issued the clients' certificates; the system's if empty (ssl.truststore.location)

	ClientAuth       string   // none (also if empty), requested or required (ssl.client.auth)
	EnabledProtocols []string // of TLSv1.2, TLSv1.3; both if empty (ssl.enabled.protocols)
	CipherSuites     []string // of TLS 1.2, by their IANA names; Go's choice if empty (ssl.cipher.suites)
	PrincipalRules   string   // DEFAULT if empty (ssl.principal.mapping.rules)
	AllowDNChanges   bool     // a new certificate may have another subject (ssl.allow.dn.changes)
	AllowSANChanges  bool     // a new certificate may lack names of the old (ssl.allow.san.changes)
}

// The settings, as Invalid names them.
const (
	SettingCertificate = "certificate"
	SettingKey         = "key"
	SettingTrusted     = "trusted certificates"
	SettingClientAuth  = "client auth"
	SettingProtocols   = "enabled protocols"
	SettingCiphers     = "cipher suites"
	SettingRules       = "principal mapping rules"
)

// Invalid is a setting that cannot be used.
type Invalid struct {
	Setting string // one of the constants
	Value   string
	Err     error
}

func (e *Invalid) Error() string { return fmt.Sprintf("%s %s: %v", e.Setting, e.Value, e.Err) }
func (e *Invalid) Unwrap() error { return e.Err }

// AllInvalid gives the settings that an error of NewEngine or NewFactory names.
func AllInvalid(err error) (all []*Invalid) {
	var one *Invalid
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			all = append(all, AllInvalid(e)...)
		}
	} else if errors.As(err, &one) {
		all = append(all, one)
	}
	return all
}

var clientAuths = map[string]tls.ClientAuthType{
	"": tls.NoClientCert, "none": tls.NoClientCert,
	"requested": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert,
}

var protocols = map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

// settings gives the part of a tls.Config that needs no files, and the mapper.
func (c *Config) settings() (*tls.Config, *PrincipalMapper, error) {
	var errs []error
	bad := func(setting, value string, err error) {
		if err != nil {
			errs = append(errs, &Invalid{setting, value, err})
		}
	}
	// Kafka sends its answers whole: records that start small would only cost writes.
	out := &tls.Config{DynamicRecordSizingDisabled: true}
	auth, known := clientAuths[c.ClientAuth]
	if out.ClientAuth = auth; !known {
		bad(SettingClientAuth, c.ClientAuth, errors.New("allowed: none, requested or required"))
	}
	var err error
	out.MinVersion, out.MaxVersion, err = versions(c.EnabledProtocols)
	bad(SettingProtocols, strings.Join(c.EnabledProtocols, ","), err)
	out.CipherSuites, err = ciphers(c.CipherSuites)
	bad(SettingCiphers, strings.Join(c.CipherSuites, ","), err)
	mapper, err := ParsePrincipalRules(c.PrincipalRules)
	bad(SettingRules, c.PrincipalRules, err)
	return out, mapper, errors.Join(errs...)
}

func versions(names []string) (lowest, highest uint16, _ error) {
	if len(names) == 0 {
		return tls.VersionTLS12, tls.VersionTLS13, nil
	}
	var all []uint16
	for _, name := range names {
		version, ok := protocols[name]
		if !ok {
			return 0, 0, fmt.Errorf("%q is unknown, allowed: TLSv1.2, TLSv1.3", name)
		}
		all = append(all, version)
	}
	return slices.Min(all), slices.Max(all), nil
}

func ciphers(names []string) (ids []uint16, _ error) {
	suites := slices.DeleteFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool {
		return !slices.Contains(s.SupportedVersions, tls.VersionTLS12) // those of 1.3 cannot be chosen
	})
	var allowed []string
	for _, s := range suites {
		allowed = append(allowed, s.Name)
	}
	for _, name := range names {
		i := slices.Index(allowed, name)
		if i < 0 {
			return nil, fmt.Errorf("%q is unknown or not safe, allowed: %s", name, strings.Join(allowed, ", "))
		}
		ids = append(ids, suites[i].ID)
	}
	return ids, nil
}
