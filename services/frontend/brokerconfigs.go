package frontend

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"kanal/libs/cluster"
)

// with is the configuration with broker configs in place of what the environment
// says. It depends on nothing else, so that neither the order nor the number of
// changes matters. The error names everything wrong with the configs, and with
// what they make of the environment.
func (c Config) with(configs map[string]string) (Config, error) {
	if err := cluster.CheckBrokerConfigs(configs, c.Brokers); err != nil {
		return c, err
	}
	if len(configs) == 0 {
		return c, nil
	}
	replaced := variables(configs)
	c.listenerVariables = env.ToMap(os.Environ())
	maps.Copy(c.listenerVariables, replaced)
	// Under no tag's name there are no defaults: what is not replaced stays.
	if err := env.ParseWithOptions(&c, env.Options{Environment: replaced, DefaultValueTagName: "none"}); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// variables are the environment variables with the meaning of broker configs
// that have passed cluster.CheckBrokerConfigs.
func variables(configs map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range configs {
		d, listener, err := cluster.BrokerConfig(key)
		switch {
		case err != nil:
		case d.Name == cluster.ConfigProtocolMap:
			protocols, _ := cluster.ParseProtocols(value)
			for name, protocol := range protocols {
				out[listenerVariable(name, "PROTOCOL")] = protocol
			}
		case listener != "":
			out[listenerVariable(listener, d.OfListener)] = value + d.Unit
		default:
			out[d.Variable] = value + d.Unit
		}
	}
	return out
}

func listenerVariable(listener, suffix string) string { return listenerPrefix(listener) + suffix }

func listenerPrefix(listener string) string { return "KANAL_LISTENER_" + listener + "_" }

// environment is the opposite: what this configuration has that is not the
// default, by the keys of broker configs. Listeners, their protocols and the
// number of processors are there in any case, since they have no default that
// holds everywhere.
func (c Config) environment(listeners []listener) map[string]string {
	out := map[string]string{}
	set, defaults := valuesOf(&c), valuesOf(defaultsOf[Config]())
	ofListener := valuesOf(defaultsOf[Listener]())
	var protocols []string
	for _, l := range listeners {
		protocols = append(protocols, l.Name+":"+l.own.Protocol)
	}
	for i := range cluster.BrokerConfigDefs {
		d := &cluster.BrokerConfigDefs[i]
		if v, ok := set[d.Variable]; ok && v != defaults[d.Variable] {
			out[d.Name] = v
		}
		for _, l := range listeners {
			if v, ok := valuesOf(&l.own)[d.OfListener]; ok && v != ofListener[d.OfListener] {
				out[cluster.ListenerConfigKey(l.Name, d.Name)] = v
			}
		}
	}
	out[cluster.ConfigListeners] = c.Listeners
	out[cluster.ConfigProtocolMap] = strings.Join(protocols, ",")
	out[cluster.ConfigNetworkThreads] = strconv.Itoa(processors(c.Processors))
	return out
}

// processors is a number of processors, of which 0 means one for each CPU.
func processors(n int) int {
	if n == 0 {
		return runtime.NumCPU()
	}
	return n
}

// defaultsOf is a configuration in an empty environment.
func defaultsOf[T any]() *T {
	cfg := new(T)
	_ = env.ParseWithOptions(cfg, env.Options{Environment: map[string]string{"": ""}}) // defaults are of their fields' types
	return cfg
}

// valuesOf gives a configuration's values as broker configs have them, by
// variable: durations are milliseconds.
func valuesOf(cfg any) map[string]string {
	out := map[string]string{}
	collect(reflect.ValueOf(cfg).Elem(), "", out)
	return out
}

func collect(v reflect.Value, prefix string, into map[string]string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		switch {
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			collect(v.Field(i), prefix+field.Tag.Get("envPrefix"), into)
			continue
		case name == "":
			continue
		}
		name = prefix + name
		switch {
		case field.Type == reflect.TypeFor[time.Duration]():
			into[name] = strconv.FormatInt(time.Duration(v.Field(i).Int()).Milliseconds(), 10)
		case field.Type == reflect.TypeFor[[]string]():
			into[name] = strings.Join(v.Field(i).Interface().([]string), ",")
		default:
			into[name] = fmt.Sprint(v.Field(i).Interface())
		}
	}
}
