package frontend

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"kanal/libs/cluster"
	"kanal/libs/service"
	"kanal/libs/socketserver"
)

// unlimited is Kafka's default of every quota on connections.
const unlimited = math.MaxInt32

func (c Config) validateQuotas() error {
	var errs []error
	bad := func(wrong bool, variable string, value any, allowed string) {
		if wrong {
			errs = append(errs, service.Invalid(variable, value, allowed))
		}
	}
	bad(c.MaxConnections < 1, "KANAL_MAX_CONNECTIONS", c.MaxConnections, "at least 1")
	bad(c.MaxConnectionsAction != "wait" && c.MaxConnectionsAction != "refuse", "KANAL_MAX_CONNECTIONS_ACTION", c.MaxConnectionsAction, "wait or refuse")
	overrides, err := parseOverrides(c.MaxConnectionsPerIPOverrides)
	bad(c.MaxConnectionsPerIP < 0 || c.MaxConnectionsPerIP == 0 && len(overrides) == 0 && err == nil,
		"KANAL_MAX_CONNECTIONS_PER_IP", c.MaxConnectionsPerIP, "at least 1, or 0 with KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES")
	bad(c.ConnectionRate < 1, "KANAL_MAX_CONNECTION_CREATION_RATE", c.ConnectionRate, "at least 1")
	bad(c.ConnectionBurst < 0, "KANAL_MAX_CONNECTION_CREATION_BURST", c.ConnectionBurst, "0 (a second's worth) or more")
	bad(c.ConnectionRatePerIP < 1, "KANAL_CONNECTION_CREATION_RATE_PER_IP", c.ConnectionRatePerIP, "at least 1")
	bad(c.ConnectionBurstPerIP < 0, "KANAL_CONNECTION_CREATION_BURST_PER_IP", c.ConnectionBurstPerIP, "0 (a second's worth) or more")
	return errors.Join(append(errs, err, c.checkDescriptors(descriptorLimit()))...)
}

// quotas of the server; it looks up the hosts of the overrides.
func (c Config) quotas(ctx context.Context) (socketserver.Quotas, error) {
	q := socketserver.Quotas{
		MaxConnections: c.maxConnections(descriptorLimit()), MaxPerIP: limit(c.MaxConnectionsPerIP), Refuse: c.MaxConnectionsAction == "refuse",
		Rate: rate(c.ConnectionRate, c.ConnectionBurst), RatePerIP: rate(c.ConnectionRatePerIP, c.ConnectionBurstPerIP),
	}
	if c.MaxConnectionsPerIP == 0 {
		q.MaxPerIP = -1 // nobody
	}
	overrides, err := parseOverrides(c.MaxConnectionsPerIPOverrides)
	if err != nil {
		return q, err
	}
	q.PerIP, err = resolve(ctx, overrides)
	return q, err
}

func (l Listener) quotas() socketserver.ListenerQuotas {
	return socketserver.ListenerQuotas{MaxConnections: limit(l.MaxConnections), Rate: rate(l.ConnectionRate, l.ConnectionBurst)}
}

// limit is 0 for what has no limit.
func limit(n int) int {
	if n >= unlimited {
		return 0
	}
	return n
}

func rate(perSecond, burst int) socketserver.Rate {
	return socketserver.Rate{PerSecond: float64(limit(perSecond)), Burst: burst}
}

func parseOverrides(value string) ([]cluster.Override, error) {
	all, bad := cluster.ParseOverrides(value)
	var errs []error
	for _, part := range bad {
		errs = append(errs, service.Invalid("KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES", part, "host:count, such as 10.0.0.7:100 or [fd00::7]:100"))
	}
	return all, errors.Join(errs...)
}

// resolve looks host names up once, at start, as Kafka; but takes all addresses of a name and not only its first (D3).
func resolve(ctx context.Context, overrides []cluster.Override) (map[netip.Addr]int, error) {
	counts := map[netip.Addr]int{}
	var errs []error
	for _, o := range overrides {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", o.Host)
		if err != nil {
			errs = append(errs, fmt.Errorf("KANAL_MAX_CONNECTIONS_PER_IP_OVERRIDES: look up %s: %w", o.Host, err))
		}
		for _, a := range found {
			counts[a.Unmap()] = o.Count
		}
	}
	return counts, errors.Join(errs...)
}
