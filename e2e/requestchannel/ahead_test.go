package requestchannel

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"kanal/e2e/process"
	rc "kanal/libs/requestchannel"
)

// A front end that reads ahead: handlers answer in any order, some are lost with what they have and others take over,
// and each connection sees the answers to its requests in their order, each once.
func TestReadingAheadWhileHandlersDie(t *testing.T) {
	url := process.StartNATS(t).ClientURL()
	address := process.Address(t)
	fe := process.Start(t, "frontend", process.Env{
		"KANAL_NATS_URL": url, "KANAL_CLUSTER": "test", "KANAL_LISTENERS": "FRAMES://" + address,
		"KANAL_LISTENER_FRAMES_KIND": "frames", "KANAL_LISTENER_FRAMES_HANDLER": "echo", "KANAL_MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION": "8",
	})
	serve := func(i *instance, in *rc.Incoming) {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // answers come in any order
		echo(i, in)
	}
	newInstance(t, url, "echo", nil, serve)
	fe.WaitReady(t)
	stop := make(chan struct{})
	var killing sync.WaitGroup
	killing.Go(func() {
		for {
			victim := newInstance(t, url, "echo", func(c *rc.ServerConfig) { c.DrainTimeout = 10 * time.Millisecond }, serve)
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				victim.nc.Close()
			}
		}
	})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			if err := pipeline(address, 1000); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	close(stop)
	killing.Wait()
}

// pipeline sends n frames at once and reads their answers, which have to come in order.
func pipeline(address string, n int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	var all []byte
	for i := range n {
		all = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(all, 4), uint32(i))
	}
	sent := make(chan error, 1)
	go func() { _, err := conn.Write(all); sent <- err }()
	got := make([]byte, len(all))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !slices.Equal(got, all) {
		return errOrder
	}
	return <-sent
}

var errOrder = errors.New("answers are not in the order of their requests")
