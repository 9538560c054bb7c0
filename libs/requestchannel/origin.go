package requestchannel

import (
	"encoding/binary"
	"fmt"
)

// Origin is the part of an envelope that is the same for every request of a
// connection, so that it is encoded once per connection.
type Origin struct {
	FrontEnd        string
	ConnectionID    string // Kafka's connection id (E3), for people and logs
	Listener        string
	Principal       string
	ClientAddress   string
	SoftwareName    string
	SoftwareVersion string
}

func (o *Origin) fields() [7]*string {
	return [7]*string{&o.FrontEnd, &o.ConnectionID, &o.Listener, &o.Principal, &o.ClientAddress, &o.SoftwareName, &o.SoftwareVersion}
}

// maxOriginField bounds each string of an Origin, in bytes; longer ones are cut.
const maxOriginField = 1024

// AppendOrigin appends the encoded origin: each string with a length of two bytes.
func AppendOrigin(b []byte, o Origin) []byte {
	for _, s := range o.fields() {
		v := (*s)[:min(len(*s), maxOriginField)]
		b = binary.BigEndian.AppendUint16(b, uint16(len(v)))
		b = append(b, v...)
	}
	return b
}

func (o *Origin) parse(b []byte) error {
	for _, s := range o.fields() {
		if len(b) < 2 {
			return fmt.Errorf("%w: origin cut short", ErrInvalidEnvelope)
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > len(b)-2 {
			return fmt.Errorf("%w: origin field of %d bytes", ErrInvalidEnvelope, n)
		}
		*s, b = string(b[2:2+n]), b[2+n:]
	}
	return nil
}
