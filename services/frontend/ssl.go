package frontend

import (
	"errors"
	"os"
	"strings"
	"time"

	"kanal/libs/service"
	"kanal/libs/ssl"
)

// SSL is what listeners of protocol SSL or SASL_SSL take from KANAL_LISTENER_<NAME>_SSL_<VARIABLE>, and what is not set
// there from KANAL_SSL_<VARIABLE>.
type SSL struct {
	// CertificateFile has the certificate and those of its issuers, in PEM (ssl.keystore.certificate.chain).
	CertificateFile string `env:"SSL_CERTIFICATE_FILE"`
	// KeyFile has its key, in PEM (ssl.keystore.key); not set: it is in CertificateFile.
	KeyFile string `env:"SSL_KEY_FILE"`
	// TrustedFile has who may have issued certificates of clients, in PEM (ssl.truststore.certificates); not set: whom
	// the system trusts.
	TrustedFile string `env:"SSL_TRUSTED_FILE"`
	// ClientAuth is none (if not set), requested or required (ssl.client.auth). A SASL_SSL listener takes only its own.
	ClientAuth string `env:"SSL_CLIENT_AUTH"`
	// EnabledProtocols are of TLSv1.2 and TLSv1.3 (ssl.enabled.protocols); not set: both.
	EnabledProtocols []string `env:"SSL_ENABLED_PROTOCOLS"`
	// CipherSuites of TLS 1.2 by IANA name (ssl.cipher.suites); not set: those of Go.
	CipherSuites []string `env:"SSL_CIPHER_SUITES"`
	// PrincipalMappingRules (ssl.principal.mapping.rules); not set: the whole name.
	PrincipalMappingRules string `env:"SSL_PRINCIPAL_MAPPING_RULES"`
	// AllowDNChanges and AllowSANChanges let a changed certificate have another subject, or fewer names
	// (ssl.allow.dn.changes, ssl.allow.san.changes).
	AllowDNChanges  bool `env:"SSL_ALLOW_DN_CHANGES"`
	AllowSANChanges bool `env:"SSL_ALLOW_SAN_CHANGES"`
}

// Config is what libs/ssl makes it of.
func (s *SSL) config() ssl.Config {
	return ssl.Config{
		CertificateFile: s.CertificateFile, KeyFile: s.KeyFile, TrustedFile: s.TrustedFile,
		ClientAuth: s.ClientAuth, EnabledProtocols: s.EnabledProtocols, CipherSuites: s.CipherSuites,
		PrincipalRules: s.PrincipalMappingRules, AllowDNChanges: s.AllowDNChanges, AllowSANChanges: s.AllowSANChanges,
	}
}

func sslProtocol(protocol string) bool { return strings.HasSuffix(protocol, "SSL") }

// sslVariables are the variables of libs/ssl's settings, and what is allowed.
var sslVariables = map[string][2]string{
	ssl.SettingCertificate: {"SSL_CERTIFICATE_FILE", "a PEM file with a valid certificate"},
	ssl.SettingKey:         {"SSL_KEY_FILE", "a PEM file with the certificate's key, not encrypted"},
	ssl.SettingTrusted:     {"SSL_TRUSTED_FILE", "a PEM file with certificates"},
	ssl.SettingClientAuth:  {"SSL_CLIENT_AUTH", "none, requested or required"},
	ssl.SettingProtocols:   {"SSL_ENABLED_PROTOCOLS", "TLSv1.2, TLSv1.3 or both"},
	ssl.SettingCiphers:     {"SSL_CIPHER_SUITES", "cipher suites of TLS 1.2 by their IANA names"},
	ssl.SettingRules:       {"SSL_PRINCIPAL_MAPPING_RULES", "DEFAULT and RULE:pattern/replacement/ with L or U, separated by commas"},
}

// validateSSL reads the files, so that a start does not fail half way.
func validateSSL(prefix string, c ssl.Config) error {
	_, err := ssl.NewEngine(c, time.Now())
	var errs []error
	for _, invalid := range ssl.AllInvalid(err) {
		v := sslVariables[invalid.Setting]
		errs = append(errs, service.Invalid(setVariable(prefix, v[0]), invalid.Value, v[1]+" ("+invalid.Err.Error()+")"))
	}
	return errors.Join(errs...)
}

// setVariable is the one of the two variables that has the value.
func setVariable(prefix, variable string) string {
	if _, own := os.LookupEnv(prefix + variable); own {
		return prefix + variable
	}
	if _, common := os.LookupEnv("KANAL_" + variable); common {
		return "KANAL_" + variable
	}
	return prefix + variable
}
