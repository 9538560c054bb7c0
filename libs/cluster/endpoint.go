package cluster

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Endpoint is one NAME://host:port of listeners and advertised.listeners.
type Endpoint struct {
	Name, Host string
	Port       int
}

// String is the form that ParseEndpoints reads.
func (e Endpoint) String() string {
	return e.Name + "://" + net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// ParseEndpoints reads a comma separated list of NAME://host:port, IPv6 hosts in
// brackets (A5). Names become upper case. bad are the parts that are none.
func ParseEndpoints(value string) (all []Endpoint, bad []string) {
	for _, part := range items(value) {
		name, rest, ok := strings.Cut(part, "://")
		host, port, err := net.SplitHostPort(rest)
		n, err2 := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || err2 != nil || !legalListener(name) {
			bad = append(bad, part)
			continue
		}
		all = append(all, Endpoint{strings.ToUpper(name), host, int(n)})
	}
	return all, bad
}

// items splits a list, whose items are free of commas and spaces.
func items(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
}

// legalListener: a listener's name becomes part of variable names.
func legalListener(s string) bool {
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// CheckEndpoints reports listeners of the same name and those whose port ranges
// meet: with more than one broker a listener takes as many ports above its own.
func CheckEndpoints(all []Endpoint, brokers int32) (errs []error) {
	span := 0
	if brokers > 1 {
		span = int(brokers)
	}
	for i, a := range all {
		if a.Port+span > 65535 {
			errs = append(errs, fmt.Errorf("%s with %d brokers needs ports up to %d, above 65535", a, brokers, a.Port+span))
		}
		for _, b := range all[i+1:] {
			if a.Name == b.Name {
				errs = append(errs, fmt.Errorf("%s is named twice", a.Name))
			}
			if a.Port != 0 && b.Port != 0 && a.Port <= b.Port+span && b.Port <= a.Port+span {
				errs = append(errs, fmt.Errorf("the ports of %s and %s overlap: %d brokers take ports %d to %d and %d to %d", a, b, brokers, a.Port, a.Port+span, b.Port, b.Port+span))
			}
		}
	}
	return errs
}

// Override is one host:count of max.connections.per.ip.overrides.
type Override struct {
	Host  string
	Count int
}

// ParseOverrides reads a comma separated list of host:count, IPv6 hosts in
// brackets. bad are the parts that are none.
func ParseOverrides(value string) (all []Override, bad []string) {
	for _, part := range items(value) {
		host, count, err := net.SplitHostPort(part)
		n, err2 := strconv.ParseUint(count, 10, 31)
		if err != nil || err2 != nil || host == "" {
			bad = append(bad, part)
			continue
		}
		all = append(all, Override{host, int(n)})
	}
	return all, bad
}

// ParseProtocols reads a comma separated list of NAME:PROTOCOL
// (listener.security.protocol.map). Names become upper case. bad are the parts
// that are none.
func ParseProtocols(value string) (all map[string]string, bad []string) {
	all = make(map[string]string)
	for _, part := range items(value) {
		name, protocol, ok := strings.Cut(part, ":")
		name, protocol = strings.ToUpper(name), strings.ToUpper(protocol)
		if _, twice := all[name]; !ok || twice || !legalListener(name) || !SecurityProtocols[protocol] {
			bad = append(bad, part)
			continue
		}
		all[name] = protocol
	}
	return all, bad
}

// SecurityProtocols are those that a listener may have.
var SecurityProtocols = map[string]bool{"PLAINTEXT": true, "SSL": true, "SASL_PLAINTEXT": true, "SASL_SSL": true}
