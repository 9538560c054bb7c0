package suite

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
)

// brokerConfigs changes the front end as an administrator of Kafka would: the
// default of all brokers, described for each, what is wrong refused as a whole,
// a listener added, used and removed (W1, W6 to W8, testConfigDescribeUsingAdminClient,
// testAddRemoveSaslListeners without SASL).
func brokerConfigs(t *testing.T, on target) {
	ctx := limited(t, 2*time.Minute)
	adm := kadm.NewClient(newClient(t, on))
	set := func(op kadm.IncrementalOp, name, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: op, Name: name, Value: &value}
	}
	alter := func(configs ...kadm.AlterConfig) error {
		t.Helper()
		r, err := adm.AlterBrokerConfigs(ctx, configs)
		if err != nil || len(r) != 1 {
			t.Fatal(r, err)
		}
		if r[0].Err != nil {
			return fmt.Errorf("%w: %s", r[0].Err, r[0].ErrMessage)
		}
		return nil
	}
	described := func(name string) kadm.Config {
		t.Helper()
		all, err := adm.DescribeBrokerConfigs(ctx, 1)
		if err != nil || len(all) != 1 || all[0].Err != nil {
			t.Fatal(all, err)
		}
		for _, c := range all[0].Configs {
			if c.Key == name {
				return c
			}
		}
		t.Fatalf("%s is not described", name)
		return kadm.Config{}
	}
	defer func() { // whatever happens, the next body finds the environment's
		if _, err := adm.AlterBrokerConfigsState(ctx, nil); err != nil {
			t.Error(err)
		}
	}()
	if c := described("listeners"); c.Source != kmsg.ConfigSourceStaticBrokerConfig || !strings.Contains(c.MaybeValue(), on.bootstrap) {
		t.Errorf("listeners are %+v", c)
	}
	if err := alter(set(kadm.SetConfig, "max.connections", "9000"), set(kadm.SetConfig, "num.network.threads", "3")); err != nil {
		t.Fatal(err)
	}
	if c := described("max.connections"); c.MaybeValue() != "9000" || c.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
		t.Errorf("max.connections is %+v", c)
	}
	err := alter(set(kadm.SetConfig, "max.connections", "8000"), set(kadm.SetConfig, "queued.max.requests", "1"), set(kadm.SetConfig, "max.connections.per.ip", "x"))
	if !errors.Is(err, kerr.InvalidConfig) || !strings.Contains(err.Error(), "queued.max.requests") || !strings.Contains(err.Error(), "max.connections.per.ip") {
		t.Errorf("two of three are wrong: %v", err)
	}
	if c := described("max.connections"); c.MaybeValue() != "9000" {
		t.Errorf("max.connections is %s after a refusal", c.MaybeValue())
	}
	if r, err := adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{set(kadm.SetConfig, "max.connections", "1")}, 1); err != nil || !errors.Is(r[0].Err, kerr.InvalidRequest) {
		t.Errorf("of one broker: %v, %v", r, err)
	}
	addedListener(t, on, alter, set)
}

func addedListener(t *testing.T, on target, alter func(...kadm.AlterConfig) error, set func(kadm.IncrementalOp, string, string) kadm.AlterConfig) {
	t.Helper()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(process.Ports(t, on.brokers+1)))
	if err := alter(set(kadm.AppendConfig, "listeners", "ADDED://"+address)); err != nil {
		t.Fatal(err)
	}
	process.Poll(t, 20*time.Second, "the new listener is open", func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	there := target{address, on.brokers, on.frontEnd}
	name := newTopic(t, there, 3)
	cl := newClient(t, there, kgo.DefaultProduceTopic(name))
	if err := cl.ProduceSync(limited(t, time.Minute), kgo.StringRecord("through the new listener")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := alter(set(kadm.SubtractConfig, "listeners", "ADDED://"+address)); err != nil {
		t.Fatal(err)
	}
	process.Poll(t, 20*time.Second, "the listener is closed", func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return nil
		}
		c.Close()
		return errors.New("it is open")
	})
	if r := consume(t, on, name, starts(3), 1); string(r[0].Value) != "through the new listener" {
		t.Errorf("the other listener has %q", r[0].Value)
	}
}
