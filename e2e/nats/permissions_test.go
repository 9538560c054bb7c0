package nats

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/e2e/process"
)

// roles are the users of deployments/nats/users.conf.
var roles = []string{"frontend", "service", "handler", "kanalctl"}

func password(role string) string { return "password-of-" + role }

// shipped starts NATS with the file as it is, and gives the environment of each role.
func shipped(t *testing.T) (url string, as map[string]process.Env) {
	t.Helper()
	for _, role := range roles {
		t.Setenv("KANAL_NATS_"+strings.ToUpper(role)+"_PASSWORD", password(role))
	}
	opts, err := server.ProcessConfigFile(filepath.Join(process.Root(t), "deployments", "nats", "users.conf"))
	if err != nil {
		t.Fatal(err)
	}
	url, as = start(t, opts).ClientURL(), map[string]process.Env{}
	for _, role := range roles {
		as[role] = process.Env{
			"KANAL_NATS_URL": url, "KANAL_NATS_USER": role, "KANAL_NATS_PASSWORD": password(role),
			"KANAL_NATS_INBOX_PREFIX": "_INBOX_" + role,
		}
	}
	return url, as
}

// TestShippedUsers runs every service with the user of its role, and does what
// clients and people do. Nothing may want a permission that the file does not give.
func TestShippedUsers(t *testing.T) {
	_, as := shipped(t)
	kafka, frames := process.Address(t), process.Address(t)
	all := []*process.Process{process.Start(t, "frontend", as["frontend"].With(process.Env{
		"KANAL_LISTENERS":            "PLAINTEXT://" + kafka + ",FRAMES://" + frames,
		"KANAL_LISTENER_FRAMES_KIND": "frames", "KANAL_LISTENER_FRAMES_HANDLER": "echo",
	}))}
	for _, name := range []string{"metadata", "records", "groups"} {
		all = append(all, process.Start(t, name, as["service"]))
	}
	all = append(all, process.Start(t, "echo", as["handler"]))
	for _, p := range all {
		p.WaitReady(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	t.Run("admin, produce, group", func(t *testing.T) { clients(t, ctx, kafka) })
	t.Run("kcat", func(t *testing.T) { kcat(t, ctx, kafka) })
	t.Run("kanalctl", func(t *testing.T) {
		for _, c := range [][2]string{
			{"status", "records"}, {"frontends", ""}, {"handlers", "echo"}, {"connections", "connections"}, {"topics", "greetings"}, {"user set alice", ""}, {"config set max.connections=5000", ""}, {"config list", "5000"},
		} {
			args, says := c[0], c[1]
			out := kanalctl(t, ctx, as["kanalctl"], strings.Fields(args)...)
			if !strings.Contains(out, says) {
				t.Errorf("kanalctl %s says %q", args, out)
			}
		}
	})
	for _, p := range all {
		p.Stop(t)
		if strings.Contains(p.Log(), "ermissions") {
			t.Errorf("%s wants a permission that it does not have", p)
		}
	}
}

// clients creates a topic, changes its configs, produces, and reads it in a group.
func clients(t *testing.T, ctx context.Context, addr string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("greetings"),
		kgo.ConsumeTopics("greetings"), kgo.ConsumerGroup("readers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	create := kmsg.NewCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "greetings", 3, 1
	create.Topics = append(create.Topics, topic)
	if r, err := create.RequestWith(ctx, cl); err != nil || r.Topics[0].ErrorCode != 0 {
		t.Fatalf("create: %+v, %v", r, err)
	}
	alter := kmsg.NewIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "greetings"
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "max.message.bytes", kmsg.StringPtr("2000000")
	resource.Configs = append(resource.Configs, config)
	alter.Resources = append(alter.Resources, resource)
	if r, err := alter.RequestWith(ctx, cl); err != nil || r.Resources[0].ErrorCode != 0 {
		t.Fatalf("alter: %+v, %v", r, err)
	}
	const n = 30
	for i := range n {
		// Large ones go in parts, on connections of their own.
		value := bytes.Repeat([]byte{byte(i)}, 1+(i%3)*300_000)
		if err := cl.ProduceSync(ctx, kgo.SliceRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for got := 0; got < n; {
		f := cl.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), f.Err()); err != nil {
			t.Fatalf("%d of %d records: %v", got, n, err)
		}
		got += f.NumRecords()
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
}

func kcat(t *testing.T, ctx context.Context, addr string) {
	process.Need(t, "kcat")
	cmd := exec.CommandContext(ctx, "kcat", "-b", addr, "-P", "-t", "kcat-makes-it")
	cmd.Stdin = strings.NewReader("hello\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(ctx, "kcat", "-b", addr, "-C", "-t", "kcat-makes-it", "-o", "beginning", "-e", "-q").Output()
	if err != nil || string(out) != "hello\n" {
		t.Fatalf("%v: %q", err, out)
	}
}

func kanalctl(t *testing.T, ctx context.Context, env process.Env, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, process.Binary(t, "kanalctl"), args...)
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stdin = strings.NewReader("wonderland\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kanalctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestShippedUsersAreConfined holds what each role may not do, and, so that a
// refusal means something, what it may.
func TestShippedUsersAreConfined(t *testing.T) {
	url, _ := shipped(t)
	const request, response, handlers, frontends = "kanal.kanal.request.H1", "kanal.kanal.response.F1.0", "kanal.kanal.handlers", "kanal.kanal.frontends"
	const log, topic, user, versions = "kanal.kanal.log.S1.messages", "$KV.kanal_kanal.topic.t", "$KV.kanal_kanal.users.alice", "$KV.kanal_kanal.versions.records"
	const close, drain = "kanal.kanal.admin.F1.close", "kanal.kanal.admin.H1.drain"
	const create, remove = "$JS.API.STREAM.CREATE.other", "$JS.API.STREAM.DELETE.KV_kanal_kanal"
	for _, c := range []struct {
		role                                         string
		publish, refused, subscribe, refusedListener []string
	}{
		{
			"frontend", []string{request, frontends, versions, drain}, []string{response, close, handlers, log, topic, user, create, remove, "$SRV.PING"},
			[]string{"kanal.kanal.response.F1.0", "kanal.kanal.response.F1.large", handlers, "kanal.kanal.admin.F1.*", "_INBOX_frontend.x.*"},
			[]string{request, "kanal.kanal.request.*", "_INBOX.>", "_INBOX_service.>", "$KV.>", "kanal.>", "$SRV.PING", ">"},
		},
		{
			"service", []string{request, response, handlers, log, topic, user}, []string{frontends, close, drain},
			[]string{request, frontends, "kanal.kanal.feed.S1.*", "$SRV.PING.kanal-records", "_INBOX_service.x.*"},
			[]string{response, "_INBOX_frontend.>", "_INBOX_kanalctl.>", "kanal.>", ">"},
		},
		{
			"handler", []string{response, handlers}, []string{request, frontends, close, drain, log, topic, user, versions, create, remove, "$JS.API.INFO"},
			[]string{request, frontends, "$SRV.STATS", "_INBOX_handler.x.*"},
			[]string{response, "_INBOX_service.>", "_INBOX_frontend.>", "kanal.kanal.feed.>", "$KV.>", ">"},
		},
		{
			"kanalctl", []string{user, close, drain, "$KV.kanal_kanal.broker-configs", "$SRV.STATS"}, []string{request, response, handlers, frontends, log, topic, create, remove},
			[]string{handlers, frontends, "_INBOX_kanalctl.x.*"}, []string{request, response, "_INBOX_service.>", "$KV.>", ">"},
		},
	} {
		t.Run(c.role, func(t *testing.T) {
			for allowed, subjects := range map[bool][]string{true: c.publish, false: c.refused} {
				for _, s := range subjects {
					check(t, url, c.role, allowed, "publish to "+s, func(nc *nats.Conn) error { return nc.Publish(s, []byte("{}")) })
				}
			}
			for allowed, subjects := range map[bool][]string{true: c.subscribe, false: c.refusedListener} {
				for _, s := range subjects {
					check(t, url, c.role, allowed, "subscribe to "+s, func(nc *nats.Conn) error {
						_, err := nc.SubscribeSync(s)
						return err
					})
				}
			}
		})
	}
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Error("somebody without a name was let in")
	}
}

// check does something on a connection of its own and asks NATS what it thinks.
func check(t *testing.T, url, role string, allowed bool, what string, do func(*nats.Conn) error) {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserInfo(role, password(role)), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(do(nc), nc.FlushTimeout(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	// A refusal comes before the answer to the flush.
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) == allowed {
		t.Errorf("%s: %v; want allowed: %v", what, err, allowed)
	}
}
