package frontend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// plan is what makes of listeners that run those of a target.
type plan struct {
	remove []listener
	add    []listener
	keep   []listener // run and stay, with what may change of them as in the target
}

// planned compares what runs with a target. Of a listener that runs, only what
// changeable names may change (W6, W10, W11): the error tells of the others.
func planned(running, target []listener) (p plan, _ error) {
	var errs []error
	for _, l := range target {
		before := find(running, l.Name)
		if before == nil {
			p.add = append(p.add, l)
			continue
		}
		errs = append(errs, before.unlike(l))
		p.keep = append(p.keep, l)
	}
	for _, l := range running {
		if find(target, l.Name) == nil {
			p.remove = append(p.remove, l)
		}
	}
	return p, errors.Join(errs...)
}

func find(all []listener, name string) *listener {
	if i := slices.IndexFunc(all, func(l listener) bool { return l.Name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// changeable are the variables of a listener that may change while it runs.
var changeable = []string{
	"PROCESSORS", "MAX_CONNECTIONS", "MAX_CONNECTION_CREATION_RATE", "MAX_CONNECTION_CREATION_BURST",
	"SSL_CERTIFICATE_FILE", "SSL_KEY_FILE", "SSL_TRUSTED_FILE",
}

// unlike tells what of another listener this one cannot become.
func (l *listener) unlike(other listener) error {
	var errs []error
	differ := func(what string, before, after any) {
		if before != after {
			errs = append(errs, fmt.Errorf("listener %s runs with %s %v and cannot change it to %v: remove it first, then add it", l.Name, what, before, after))
		}
	}
	differ("host", l.Host, other.Host)
	differ("port", l.Port, other.Port)
	before, after := valuesOf(&l.own), valuesOf(&other.own)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !slices.Contains(changeable, name) {
			differ(listenerVariable(l.Name, name), before[name], after[name])
		}
	}
	return errors.Join(errs...)
}
