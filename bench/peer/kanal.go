package peer

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanal/libs/socketserver"
	"kanal/libs/socketserver/socketservertest"
)

// Registry has the metrics of ours.
var Registry = prometheus.NewRegistry()

// kanal is the reactor with the deadlines of the front end's defaults, and a handler in the process.
func kanal() (string, error) { return ours(listener()) }

func listener() socketserver.ListenerConfig {
	return socketserver.ListenerConfig{
		Name: "ECHO", Kind: socketserver.KindFrames, Handler: "echo", Host: "127.0.0.1",
		MaxIdle: 10 * time.Minute, FirstRequestTimeout: 30 * time.Second, WriteTimeout: time.Minute,
	}
}

func ours(l socketserver.ListenerConfig) (string, error) {
	echo := new(socketservertest.Echo)
	s, err := socketserver.New(socketserver.Config{Listeners: []socketserver.ListenerConfig{l}}, echo, slog.New(slog.DiscardHandler), Registry)
	if err != nil {
		return "", err
	}
	if err := s.Start(); err != nil {
		return "", err
	}
	return s.Addr(l.Name, 0).String(), nil
}
