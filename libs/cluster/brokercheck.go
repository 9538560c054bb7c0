package cluster

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"kanal/libs/requestchannel"
)

// CheckBrokerConfigs tells everything that is wrong with a set of broker
// configs, one line each (W1, D15); nil for a good one. With brokers many
// brokers a listener takes as many ports. Front ends check more: what follows
// from their environment.
func CheckBrokerConfigs(values map[string]string, brokers int32) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		errs = append(errs, checkBrokerConfig(key, values[key]))
	}
	if _, overridden := values[configPerIPOverrides]; values[configPerIP] == "0" && !overridden {
		errs = append(errs, fmt.Errorf("%s: 0 would let in nobody; %s has to be set too", configPerIP, configPerIPOverrides))
	}
	listeners, set := values[ConfigListeners]
	if !set {
		return errors.Join(errs...)
	}
	bound, _ := ParseEndpoints(listeners)
	for _, err := range CheckEndpoints(bound, brokers) {
		errs = append(errs, fmt.Errorf("%s: %w", ConfigListeners, err))
	}
	advertised, _ := ParseEndpoints(values[ConfigAdvertisedListeners])
	for _, e := range advertised { // W6
		if !slices.ContainsFunc(bound, func(b Endpoint) bool { return b.Name == e.Name }) {
			errs = append(errs, fmt.Errorf("%s: %s is not in %s", ConfigAdvertisedListeners, e, ConfigListeners))
		}
	}
	return errors.Join(errs...)
}

func checkBrokerConfig(key, value string) error {
	d, _, err := BrokerConfig(key)
	switch {
	case err != nil:
		return err
	case d.ReadOnly: // W13
		return fmt.Errorf("%s: cannot change while running; it is %s of each front end's environment", key, d.Variable)
	}
	if value == "" {
		return fmt.Errorf("%s: no value; unset it to have the environment's", key)
	}
	named := d.ConfigDef
	named.Name = key
	return named.Check(value)
}

// checkListeners: somebody has to listen.
func checkListeners(value string) error {
	all, bad := ParseEndpoints(value)
	if len(bad) > 0 {
		return fmt.Errorf("must be NAME://host:port, comma separated; %s is not", strings.Join(bad, ", "))
	}
	if len(all) == 0 {
		return errors.New("must name at least one listener")
	}
	return nil
}

func checkAdvertised(value string) error {
	all, bad := ParseEndpoints(value)
	for _, e := range all {
		if e.Host == "" || e.Host == "0.0.0.0" || e.Host == "::" || e.Port == 0 {
			bad = append(bad, e.String())
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("must be NAME://host:port with a host that clients reach, comma separated; %s is not", strings.Join(bad, ", "))
	}
	return nil
}

func checkOverrides(value string) error {
	if _, bad := ParseOverrides(value); len(bad) > 0 {
		return fmt.Errorf("must be host:count, comma separated; %s is not", strings.Join(bad, ", "))
	}
	return nil
}

func checkProtocols(value string) error {
	if _, bad := ParseProtocols(value); len(bad) > 0 {
		return fmt.Errorf("must be NAME:PROTOCOL, comma separated, each name once; %s is not", strings.Join(bad, ", "))
	}
	return nil
}

// CheckBrokerUpdate tells everything that is wrong with replacing broker configs
// by others while these front ends live, one line each; nil for a good change.
func CheckBrokerUpdate(frontEnds []requestchannel.FrontEnd, before, after map[string]string, brokers int32) error {
	errs := []error{CheckBrokerConfigs(after, brokers)}
	seen := map[string]bool{}
	for _, f := range frontEnds {
		if f.Config == nil {
			continue
		}
		if err := CheckBrokerChange(f.Config.Environment, before, after); err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CheckBrokerChange tells what of a change would alter listeners that run: their
// address, security protocol and whatever else is fixed while they do (W6).
// environment is what a front end has from its own (requestchannel.FrontEndConfig).
func CheckBrokerChange(environment, before, after map[string]string) error {
	was, is := layers{before, environment}, layers{after, environment}
	var errs []error
	for _, e := range is.listeners() {
		i := slices.IndexFunc(was.listeners(), func(b Endpoint) bool { return b.Name == e.Name })
		if i < 0 {
			continue
		}
		fixed := func(key, before, after string) {
			if before != after {
				errs = append(errs, fmt.Errorf("%s: listener %s runs with %q, and %q would need another: remove it first, then add it", key, e.Name, before, after))
			}
		}
		fixed(ConfigListeners, was.listeners()[i].String(), e.String())
		fixed(ConfigProtocolMap, was.protocol(e.Name), is.protocol(e.Name))
		for d := range fixedOfListeners() {
			key := ListenerConfigKey(e.Name, d.Name)
			fixed(key, was.value(key, d.Default), is.value(key, d.Default))
		}
	}
	return errors.Join(errs...)
}

func fixedOfListeners() iter.Seq[*BrokerConfigDef] {
	return func(yield func(*BrokerConfigDef) bool) {
		for i := range BrokerConfigDefs {
			if d := &BrokerConfigDefs[i]; d.Fixed && !yield(d) {
				return
			}
		}
	}
}

// layers are sets of configs, the strongest first.
type layers []map[string]string

func (l layers) value(key, fallback string) string {
	for _, values := range l {
		if v, ok := values[key]; ok {
			return v
		}
	}
	return fallback
}

func (l layers) listeners() []Endpoint {
	all, _ := ParseEndpoints(l.value(ConfigListeners, ""))
	return all
}

// protocol goes through the maps by name: one that lacks a listener says nothing
// about it.
func (l layers) protocol(listener string) string {
	for _, values := range l {
		protocols, _ := ParseProtocols(values[ConfigProtocolMap])
		if p, ok := protocols[listener]; ok {
			return p
		}
	}
	return "PLAINTEXT"
}
