package kanalctl

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
)

// Configs are the broker configs of a cluster, and who runs with them.
type Configs struct {
	Cluster string `json:"cluster"`
	// Revision of what is stored; Error says that it cannot be read, and is not
	// what Configs tell.
	Revision  uint64           `json:"revision"`
	Error     string           `json:"error,omitempty"`
	Configs   []ConfigEntry    `json:"configs"` // by key
	FrontEnds []ConfigFollower `json:"frontEnds"`
}

// ConfigEntry is one config.
type ConfigEntry struct {
	Key   string  `json:"key"`
	Value *string `json:"value"` // null: not set
	// Environment is what front ends' own environments set, each value once.
	Environment []string `json:"environment,omitempty"`
	Default     string   `json:"default,omitempty"`
	// Changes is when it may: running, listener (as one is added), start, or
	// never for a key that does not exist.
	Changes string `json:"changes"`
	Doc     string `json:"doc,omitempty"`
}

// ConfigFollower is a front end and the revision that it runs with.
type ConfigFollower struct {
	ID string `json:"id"`
	requestchannel.FrontEndConfig
}

// listed gives the configs that are wanted among those that are set, that front
// ends announce, and the given ones.
func listed(registry *cluster.Registry, view *requestchannel.View, wanted func(*ConfigEntry) bool, keys ...string) *Configs {
	now := registry.BrokerConfigs()
	out := &Configs{Cluster: registry.Cluster(), Revision: now.Revision, Configs: []ConfigEntry{}, FrontEnds: []ConfigFollower{}}
	if now.Err != nil {
		out.Error = now.Err.Error()
	}
	all := map[string]bool{}
	add := func(keys []string) {
		for _, key := range keys {
			all[key] = true
		}
	}
	add(keys)
	add(slices.Collect(maps.Keys(now.Values)))
	var environments []map[string]string
	for _, f := range view.FrontEnds() {
		if f.Config != nil {
			out.FrontEnds = append(out.FrontEnds, ConfigFollower{f.ID, *f.Config})
			environments = append(environments, f.Config.Environment)
			add(slices.Collect(maps.Keys(f.Config.Environment)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if e := entry(key, now.Values, environments); wanted(&e) {
			out.Configs = append(out.Configs, e)
		}
	}
	return out
}

func entry(key string, values map[string]string, environments []map[string]string) ConfigEntry {
	e := ConfigEntry{Key: key, Changes: "never"}
	if v, ok := values[key]; ok {
		e.Value = &v
	}
	for _, env := range environments {
		if v, ok := env[key]; ok && !slices.Contains(e.Environment, v) {
			e.Environment = append(e.Environment, v)
		}
	}
	d, listener, err := cluster.BrokerConfig(key)
	if err != nil {
		return e
	}
	if e.Doc = d.Doc; listener == "" {
		e.Default = d.Default
	}
	switch {
	case d.ReadOnly:
		e.Changes = "start"
	case d.Fixed:
		e.Changes = "listener"
	default:
		e.Changes = "running"
	}
	return e
}

func (c *Configs) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s, broker configs of revision %d: %s\n", c.Cluster, c.Revision, count(len(c.FrontEnds), "front end"))
	if c.Error != "" {
		fmt.Fprintf(&b, "what is stored cannot be read: %s\n", c.Error)
	}
	if len(c.Configs) > 0 {
		rows := [][]string{{"CONFIG", "VALUE", "ENVIRONMENT", "DEFAULT", "CHANGES"}}
		for _, e := range c.Configs {
			value := ""
			if e.Value != nil {
				value = *e.Value
			}
			rows = append(rows, []string{e.Key, value, strings.Join(e.Environment, " or "), e.Default, e.Changes})
		}
		b.WriteString("\n" + columns(rows))
	}
	if len(c.FrontEnds) > 0 {
		rows := [][]string{{"FRONT END", "APPLIED", "ERROR"}}
		for _, f := range c.FrontEnds {
			rows = append(rows, []string{f.ID, strconv.FormatUint(f.Applied, 10), strings.ReplaceAll(f.Error, "\n", "; ")})
		}
		b.WriteString("\n" + columns(rows))
	}
	return b.String()
}
