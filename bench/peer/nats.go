package peer

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"kanal/libs/handler"
	"kanal/libs/requestchannel"
	"kanal/libs/service"
)

// What handlers' processes are told by their environment.
const (
	EnvNATS   = "KANAL_BENCH_NATS"   // where NATS is
	EnvWork   = "KANAL_BENCH_WORK"   // how long a request takes, sleeping; empty: nothing
	EnvWindow = "KANAL_BENCH_WINDOW" // requests an instance of ours holds at once
	EnvReply  = "KANAL_BENCH_REPLY"  // bytes that a raw handler answers, of the end of what it got
)

// Subjects is the cluster of the benchmarks.
var Subjects = requestchannel.Subjects{Prefix: "bench", Cluster: "bench"}

// Fixed subjects of the raw side.
const (
	RawRequests  = "raw.requests"
	RawResponses = "raw.responses"
)

// natsServer is a NATS server as Kanal ships it, without JetStream, which no request passes through.
func natsServer() (string, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, MaxPayload: 16 << 20})
	if err != nil {
		return "", err
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return "", errors.New("not ready within 30 s")
	}
	return s.ClientURL(), nil
}

// Dial connects with the options of Kanal's services: raw sides get the same buffers and the same flushing.
func Dial(url, name string) (*nats.Conn, error) {
	return service.Connector(context.Background(), service.NATS{NATSURL: url}, slog.New(slog.DiscardHandler))(name)
}

// channelHandler is an instance of the echo service.
func channelHandler() (string, error) {
	work, err := workTime()
	if err != nil {
		return "", err
	}
	window, err := number(EnvWindow, 1024)
	if err != nil {
		return "", err
	}
	small, err := dialed("handler")
	if err != nil {
		return "", err
	}
	large, err := dialed("handler-large")
	if err != nil {
		return "", err
	}
	serve := handler.NewInlineServer // as the echo service
	if work > 0 {
		serve = handler.NewRawServer
	}
	s, err := serve(requestchannel.ServerConfig{
		Subjects: Subjects, Service: "echo", Release: service.Release, Window: window, DrainTimeout: time.Second,
	}, func(in *requestchannel.Incoming) {
		if work > 0 {
			time.Sleep(work)
		}
		in.Send(requestchannel.Answer{Append: func(b []byte) []byte { return append(b, in.Frame...) }})
	}, small, large, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	go func() { _ = s.Run(context.Background()) }() // ends with the process
	return s.ID(), nil
}

// rawHandler answers what comes on a fixed subject with itself.
func rawHandler() (string, error) {
	nc, reply, err := rawSide()
	if err != nil {
		return "", err
	}
	sub, err := nc.Subscribe(RawRequests, func(m *nats.Msg) { _ = nc.Publish(m.Reply, ending(m.Data, reply)) }) // the client counts
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	return "raw", errors.Join(err, nc.Flush())
}

// microHandler is the same by nats.go's micro package.
func microHandler() (string, error) {
	nc, reply, err := rawSide()
	if err != nil {
		return "", err
	}
	s, err := micro.AddService(nc, micro.Config{Name: "bench", Version: "1.0.0"})
	if err != nil {
		return "", err
	}
	err = s.AddEndpoint("echo", micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(ending(r.Data(), reply)) }), // the client counts
		micro.WithEndpointSubject(RawRequests), micro.WithEndpointPendingLimits(-1, -1))
	return "micro", errors.Join(err, nc.Flush())
}

func rawSide() (nc *nats.Conn, reply int, err error) {
	if reply, err = number(EnvReply, 0); err != nil {
		return nil, 0, err
	}
	nc, err = dialed("raw")
	return nc, reply, err
}

func dialed(name string) (*nats.Conn, error) { return Dial(os.Getenv(EnvNATS), name) }

// ending is the last n bytes of b, all of them if n is 0.
func ending(b []byte, n int) []byte {
	if n == 0 {
		return b
	}
	return b[len(b)-n:]
}
