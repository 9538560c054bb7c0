package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/requestchannel"
	"kanal/services/metadata/internal/topics"
)

// alteration is one change of a config.
type alteration struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// resource is whose configs are changed.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// change makes new configs of those that are stored, or refuses.
type change func(stored map[string]string, d defaults) (map[string]string, error)

// defaults tells a config's type, and its value where none is stored: what a
// list is appended to.
type defaults func(name string) (kind cluster.ConfigType, value string, known bool)

// incremental applies alterations one by one to what is stored. The result is
// for others to check.
func incremental(alterations []alteration) change {
	return func(stored map[string]string, d defaults) (map[string]string, error) {
		out := maps.Clone(stored)
		if out == nil {
			out = map[string]string{}
		}
		seen := map[string]bool{}
		for _, alt := range alterations {
			if seen[alt.name] {
				return nil, refused(kerr.InvalidRequest, "Error due to duplicate config keys: "+alt.name)
			}
			seen[alt.name] = true
			if err := alt.apply(out, d); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

func (alt *alteration) apply(configs map[string]string, d defaults) error {
	if alt.op == kmsg.IncrementalAlterConfigOpDelete {
		delete(configs, alt.name)
		return nil
	}
	if alt.value == nil {
		return refused(kerr.InvalidRequest, "Null value not supported for: "+alt.name)
	}
	switch alt.op {
	case kmsg.IncrementalAlterConfigOpSet:
		configs[alt.name] = *alt.value
		return nil
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
		return alt.edit(configs, d)
	}
	return refused(kerr.InvalidRequest, "Unknown operation "+itoa(int(alt.op))+" for: "+alt.name)
}

// edit appends to a list what it does not have, or takes from it what it has.
func (alt *alteration) edit(configs map[string]string, d defaults) error {
	kind, value, known := d(alt.name)
	if known && kind != cluster.ConfigList {
		return refused(kerr.InvalidConfig, "Config value "+strings.ToLower(alt.op.String())+" is not allowed for config key: "+alt.name)
	}
	if stored, ok := configs[alt.name]; ok {
		value = stored
	}
	list := split(value)
	for _, item := range split(*alt.value) {
		list = slices.DeleteFunc(list, func(s string) bool { return s == item })
		if alt.op == kmsg.IncrementalAlterConfigOpAppend {
			list = append(list, item)
		}
	}
	configs[alt.name] = strings.Join(list, ",")
	return nil
}

func split(list string) (out []string) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// replacement takes the given configs in place of all that are stored.
func replacement(configs []alteration) change {
	set := incremental(configs)
	return func(_ map[string]string, d defaults) (map[string]string, error) { return set(nil, d) }
}

// alterEach changes the configs of a request's resources, each by itself, and
// gives their answers. Of two changes of one resource, neither is meant to win.
func alterEach[Q, A any](ctx context.Context, a *API, qs []Q, read func(*Q) (resource, change), validateOnly bool, answer func(r resource, code int16, message *string) A) (answers []A) {
	asked := map[resource]int{}
	for i := range qs {
		r, _ := read(&qs[i])
		asked[r]++
	}
	for i := range qs {
		r, ch := read(&qs[i])
		err := refused(kerr.InvalidRequest, "Each resource must appear at most once.")
		if asked[r] == 1 {
			err = a.alter(ctx, r, ch, validateOnly)
		}
		code, message := topics.Code(err)
		answers = append(answers, answer(r, code, message))
	}
	return answers
}

// alter changes the configs of one resource, as a whole or not at all (W1).
func (a *API) alter(ctx context.Context, r resource, ch change, validateOnly bool) error {
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		return a.alterTopic(ctx, r.name, ch, validateOnly)
	case kmsg.ConfigResourceTypeBroker:
		return a.alterBrokers(ctx, r.name, ch, validateOnly)
	}
	return refused(kerr.InvalidRequest, "Configs of resource type "+r.kind.String()+" are not kept here.")
}

// errValidated ends a change that was to be validated only.
var errValidated = errors.New("validated")

func (a *API) alterBrokers(ctx context.Context, name string, ch change, validateOnly bool) error {
	if name != "" {
		if _, err := a.broker(name); err != nil {
			return err
		}
		return refused(kerr.InvalidRequest, "Broker "+name+" has no configs of its own: every front end serves all brokers. Alter the default of all brokers (the empty name; kafka-configs --entity-default).")
	}
	frontEnds := a.brokers.FrontEnds()
	stored, err := a.reg.UpdateBrokerConfigs(ctx, func(values map[string]string) error {
		after, err := ch(values, brokerDefaults(frontEnds))
		if err != nil {
			return err
		}
		if err := cluster.CheckBrokerUpdate(frontEnds, values, after, a.reg.Info().Brokers); err != nil {
			return refused(kerr.InvalidConfig, err.Error())
		}
		if validateOnly {
			return errValidated
		}
		clear(values)
		maps.Copy(values, after)
		return nil
	})
	if err != nil {
		return trouble(err)
	}
	return trouble(a.reg.Wait(ctx, stored.Revision))
}

func (a *API) alterTopic(ctx context.Context, name string, ch change, validateOnly bool) error {
	if err := refuseInternal(name); err != nil {
		return err
	}
	err := a.admin.Change(ctx, name, func(t *cluster.Topic) error {
		after, err := ch(t.Configs, topicDefaults)
		if err == nil {
			err = topics.CheckConfigs(t, after, a.settings.MaxMessageBytes)
		}
		if err == nil && validateOnly {
			err = errValidated
		}
		t.Configs = after
		return err
	})
	return trouble(err)
}

// trouble takes what was only validated for done.
func trouble(err error) error {
	if errors.Is(err, errValidated) {
		return nil
	}
	return topics.Trouble(err)
}

// brokerDefaults are those of any front end: a list of listeners is appended to
// what runs.
func brokerDefaults(frontEnds []requestchannel.FrontEnd) defaults {
	return func(name string) (cluster.ConfigType, string, bool) {
		d, _, err := cluster.BrokerConfig(name)
		if err != nil {
			return 0, "", false
		}
		for _, f := range frontEnds {
			if f.Config != nil && f.Config.Environment[name] != "" {
				return d.Type, f.Config.Environment[name], true
			}
		}
		return d.Type, d.Default, true
	}
}

func topicDefaults(name string) (cluster.ConfigType, string, bool) {
	if d := cluster.TopicConfig(name); d != nil {
		return d.Type, d.Default, true
	}
	return 0, "", false
}
