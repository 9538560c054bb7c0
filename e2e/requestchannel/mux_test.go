package requestchannel

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/libs/protocol"
	rc "kanal/libs/requestchannel"
)

// newMux starts a service whose Metadata function does what the client id asks.
func newMux(t *testing.T, url string) {
	t.Helper()
	mux := handler.NewMux()
	mux.Handle(protocol.Metadata, 0, 13, func(_ context.Context, r *handler.Request) (kmsg.Response, error) {
		switch r.ClientID {
		case "panic":
			panic("on purpose")
		case "fail":
			return nil, errors.New("on purpose")
		case "close":
			return nil, handler.ErrCloseConnection
		case "silent":
			return nil, handler.ErrNoResponse
		}
		response := kmsg.NewPtrMetadataResponse()
		response.ThrottleMillis, response.ControllerID = 50, r.Broker
		return response, nil
	})
	s, err := handler.NewServer(handler.Config{Subjects: subjects, Service: "metadata", Release: "0.0.1", Window: 8, DrainTimeout: time.Second},
		mux, connect(t, url), connect(t, url), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func metadataRequest(version int16, client string) []byte {
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)).AppendRequest(nil, q, 77)[4:]
}

func TestMuxAnswersEveryVersion(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	newMux(t, url)
	f := newFrontEnd(t, url, nil)
	for v := int16(0); v <= 13; v++ {
		o := f.answer(t, f.send(t, "metadata", 3, metadataRequest(v, "c")))
		header := 4
		if protocol.Metadata.ResponseHeaderFlexible(v) {
			header = 5
		}
		r := kmsg.NewPtrMetadataResponse()
		r.SetVersion(v)
		if err := r.ReadFrom(o.Frame[header:]); err != nil || binary.BigEndian.Uint32(o.Frame) != 77 {
			t.Fatalf("v%d: %v, %x", v, err, o.Frame)
		}
		if v >= 1 && r.ControllerID != 3 {
			t.Fatalf("v%d: broker %d", v, r.ControllerID)
		}
		if throttled := o.Throttle == 50*time.Millisecond; throttled != (v >= 6) {
			t.Fatalf("v%d: throttle %s", v, o.Throttle) // KIP-219: muted by the server from version 6 on
		}
	}
}

func TestMuxOutcomes(t *testing.T) {
	url := natsServer(t, -1).ClientURL()
	newMux(t, url)
	f := newFrontEnd(t, url, nil)
	garbage := metadataRequest(1, "c")
	garbage = garbage[:len(garbage)-2]
	for name, c := range map[string]struct {
		frame []byte
		kind  rc.ResponseKind
	}{
		"a panic closes (O4)":              {metadataRequest(1, "panic"), rc.CloseConnection},
		"a failure closes":                 {metadataRequest(1, "fail"), rc.CloseConnection},
		"close":                            {metadataRequest(1, "close"), rc.CloseConnection},
		"no answer (M8)":                   {metadataRequest(1, "silent"), rc.NoOp},
		"a body cut short closes (L4)":     {garbage, rc.CloseConnection},
		"a version not answered (L3)":      {[]byte{0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff}, rc.CloseConnection},
		"an api not answered closes (L3)":  {[]byte{0, 1, 0, 4, 0, 0, 0, 1, 0xff, 0xff}, rc.CloseConnection},
		"and the next one is still served": {metadataRequest(1, "c"), rc.Send},
	} {
		if o := f.answer(t, f.send(t, "metadata", 1, c.frame)); o.Kind != c.kind {
			t.Errorf("%s: %s", name, o.Kind)
		}
	}
}
