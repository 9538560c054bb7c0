// Package peer has echo servers for length-prefixed frames, ours and those that it is compared with. Each takes whole
// frames, a 4-byte size and as many bytes, and sends them back in order. Beside them are the processes behind a front
// end: a NATS server, and handlers by the request channel, by plain NATS, and by NATS micro.
package peer

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Start opens an echo server on a free loopback port and gives its address; a handler gives its id.
type Start func() (addr string, err error)

var peers = map[string]Start{"kanal": kanal, "gnet": startGnet, "netpoll": startNetpoll, "std": std,
	"nats": natsServer, "handler-kanal": channelHandler, "handler-raw": rawHandler, "handler-micro": microHandler}

// Find gives a peer by name; the error lists them.
func Find(name string) (Start, error) {
	if start, ok := peers[name]; ok {
		return start, nil
	}
	return nil, fmt.Errorf("peer %q is none of %v", name, slices.Sorted(maps.Keys(peers)))
}

const sizeBytes = 4

// whole is how many bytes of b are complete frames.
func whole(b []byte) (n int) {
	for len(b)-n >= sizeBytes {
		frame := sizeBytes + int(binary.BigEndian.Uint32(b[n:]))
		if len(b)-n < frame {
			break
		}
		n += frame
	}
	return n
}
