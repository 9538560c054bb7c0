package service

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Process is the configuration of the process itself, the same for each service.
type Process struct {
	NATS
	// LogLevel is debug, info, warn or error.
	LogLevel string `env:"KANAL_LOG_LEVEL" envDefault:"info"`
	// LogFormat is text, json, or auto: text on a terminal, else json.
	LogFormat string `env:"KANAL_LOG_FORMAT" envDefault:"auto"`
	// HTTPAddr serves /metrics, /healthz and /readyz; empty serves none.
	HTTPAddr string `env:"KANAL_HTTP_ADDR" envDefault:"127.0.0.1:8080"`
}

// Validate returns every bad field, by variable name.
func (p Process) Validate() error {
	errs := []error{p.NATS.Validate()}
	var level slog.Level
	if level.UnmarshalText([]byte(p.LogLevel)) != nil {
		errs = append(errs, Invalid("KANAL_LOG_LEVEL", p.LogLevel, "debug, info, warn or error"))
	}
	if p.LogFormat != "auto" && p.LogFormat != "text" && p.LogFormat != "json" {
		errs = append(errs, Invalid("KANAL_LOG_FORMAT", p.LogFormat, "auto, text or json"))
	}
	if _, _, err := net.SplitHostPort(p.HTTPAddr); p.HTTPAddr != "" && err != nil {
		errs = append(errs, Invalid("KANAL_HTTP_ADDR", p.HTTPAddr, "host:port, or empty for none"))
	}
	return errors.Join(errs...)
}

// Validator is a configuration that can tell everything that is wrong with it,
// before anything is opened.
type Validator interface{ Validate() error }

// Parse fills configurations from the environment and validates them. The error
// names every bad variable, not only the first.
func Parse(cfgs ...Validator) error {
	var errs []error
	for _, cfg := range cfgs {
		unread := map[string]bool{}
		if err := env.Parse(cfg); err != nil {
			for _, e := range byVariable(cfg, err) {
				unread[variable(e.Error())] = true
				errs = append(errs, e)
			}
		}
		errs = append(errs, lines(cfg.Validate(), unread)...)
	}
	return unique(errs)
}

// variable is the one that a line of an error begins with.
func variable(line string) string {
	name, _, _ := strings.Cut(line, " ")
	return strings.TrimSuffix(name, ":")
}

// lines splits an error, without what it says of variables that could not be
// read: they have no value to speak of.
func lines(err error, unread map[string]bool) (out []error) {
	if err == nil {
		return nil
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !unread[variable(line)] {
			out = append(out, errors.New(line))
		}
	}
	return out
}

// unique joins errors, one of equal ones: a variable that several services of
// one process share is reported once.
func unique(errs []error) error {
	seen := map[string]bool{}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool {
		twice := seen[err.Error()]
		seen[err.Error()] = true
		return twice
	})...)
}

// byVariable words the errors of env by variable instead of by struct field.
func byVariable(cfg any, err error) (out []error) {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return []error{err}
	}
	for _, e := range all.Errors {
		var parse env.ParseError
		if name := ""; errors.As(e, &parse) {
			name = variableOf(reflect.TypeOf(cfg).Elem(), parse.Name)
			e = Invalid(name, os.Getenv(name), allowed(parse.Type))
		}
		out = append(out, e)
	}
	return out
}

func allowed(t reflect.Type) string {
	switch {
	case t.String() == "time.Duration":
		return "a duration, such as 500ms or 30s"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return fmt.Sprintf("a whole number (%s)", t)
	}
	return "a " + t.String()
}

// variableOf finds the variable of a field by its name, in embedded structs too, whose prefix it then has.
func variableOf(t reflect.Type, field string) string {
	for i := range t.NumField() {
		f := t.Field(i)
		if tag, ok := f.Tag.Lookup("env"); ok && f.Name == field {
			name, _, _ := strings.Cut(tag, ",")
			return name
		}
		if f.Type.Kind() == reflect.Struct {
			if name := variableOf(f.Type, field); name != "" {
				return f.Tag.Get("envPrefix") + name
			}
		}
	}
	return ""
}
