package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"kanal/libs/future"
)

// BrokerConfigs is what was set for all brokers while they run, as it is stored:
// anybody may have written it, so CheckBrokerConfigs comes before its use.
//
// There is one scope, the cluster's default. Front ends are equal and each
// serves every broker, so a value for one broker of them would mean nothing.
type BrokerConfigs struct {
	// Values by key, without defaults. Shared; must not be changed.
	Values map[string]string
	// Revision of the entry or of its deletion; 0 while nothing was ever stored.
	Revision uint64
	// Err tells why the entry of Revision cannot be read; Values are then those
	// of the last one that could be.
	Err error
}

// BrokerConfigsKey is the key of their entry in the cluster's bucket.
const BrokerConfigsKey = "broker-configs"

const brokersVersion = 1

// brokersEntry is the stored form.
type brokersEntry struct {
	Version int               `json:"version"`
	Configs map[string]string `json:"configs"`
	future.Fields
}

// decodeBrokerConfigs is strict: a field that is misspelled would otherwise
// unset everything.
func decodeBrokerConfigs(value []byte) (map[string]string, error) {
	var e brokersEntry
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalidEntry, BrokerConfigsKey, err)
	}
	if e.Version != brokersVersion {
		return nil, fmt.Errorf("%w: %s: version %d, this build reads %d", ErrInvalidEntry, BrokerConfigsKey, e.Version, brokersVersion)
	}
	if d.More() {
		return nil, fmt.Errorf("%w: %s: more than one value", ErrInvalidEntry, BrokerConfigsKey)
	}
	if e.Configs == nil {
		e.Configs = map[string]string{}
	}
	return e.Configs, nil
}

func (b *builder) putBrokerConfigs(value []byte, revision uint64) error {
	b.brokers.Revision = revision
	values, err := decodeBrokerConfigs(value)
	if b.brokers.Err = err; err == nil {
		b.brokers.Values = values
	}
	return err
}

// BrokerConfigs is what is set for all brokers now.
func (r *Registry) BrokerConfigs() BrokerConfigs { return r.now.Load().brokers }

// UpdateBrokerConfigs changes what is set for all brokers: change gets a copy of
// what is stored, and may refuse by returning an error, which is returned. It
// may be called several times when others change it at the same time. The
// result is the new entry, which Wait awaits. An entry that cannot be read is
// ErrInvalidEntry and stays.
func (r *Registry) UpdateBrokerConfigs(ctx context.Context, change func(values map[string]string) error) (BrokerConfigs, error) {
	for {
		stored, err := r.readBrokerConfigs(ctx)
		if err != nil {
			return BrokerConfigs{}, err
		}
		if err := change(stored.Values); err != nil {
			return BrokerConfigs{}, err
		}
		value, err := json.Marshal(brokersEntry{Version: brokersVersion, Configs: stored.Values})
		if err != nil {
			return BrokerConfigs{}, err
		}
		if stored.Revision == 0 {
			stored.Revision, err = r.kv.Create(ctx, BrokerConfigsKey, value)
		} else {
			stored.Revision, err = r.kv.Update(ctx, BrokerConfigsKey, value, stored.Revision)
		}
		if err == nil {
			return stored, nil
		}
		if !isConflict(err) {
			return BrokerConfigs{}, fmt.Errorf("update broker configs: %w", err)
		}
		if err := pause(ctx); err != nil {
			return BrokerConfigs{}, err
		}
	}
}

// readBrokerConfigs reads the stored entry, not the snapshot: conditions need
// the newest revision there is. It is 0 where there is no entry.
func (r *Registry) readBrokerConfigs(ctx context.Context) (BrokerConfigs, error) {
	e, err := r.kv.Get(ctx, BrokerConfigsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return BrokerConfigs{Values: map[string]string{}}, nil
	}
	if err != nil {
		return BrokerConfigs{}, fmt.Errorf("read broker configs: %w", err)
	}
	values, err := decodeBrokerConfigs(e.Value())
	return BrokerConfigs{Values: values, Revision: e.Revision()}, err
}
