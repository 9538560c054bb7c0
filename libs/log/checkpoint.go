package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// partHeaderSize is what a checkpoint part has between the record's header and its share of the checkpoint.
const partHeaderSize = 48

// partBytes is the largest share of a checkpoint that one part carries, so that a part stays below NATS' default max_payload.
const partBytes = 512<<10 - HeaderSize - partHeaderSize

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Part is one record of a checkpoint. The checkpoint counts once its last part stands.
type Part struct {
	Header   Header // Predecessor is the last valid message covered
	Index    uint32 // 0 to Count-1
	Count    uint32
	Covered  uint64 // the stream's last sequence when the checkpoint was taken: everything up to it is in
	First    uint64 // sequence of the first part; the parts lie side by side
	Previous uint64 // sequence of the last part of the newest complete checkpoint before this one, 0 for none
	LastSeq  uint64 // sequence of the last valid message covered
	Sum      uint32 // CRC-32C of the whole checkpoint
	Body     []byte // this part's share
}

// Complete says whether this is the part that makes its checkpoint count.
func (p *Part) Complete() bool { return p.Index+1 == p.Count }

// append writes the record of p.
func (p *Part) append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	p.Header.Put(dst[at:])
	dst = binary.BigEndian.AppendUint32(dst, p.Index)
	dst = binary.BigEndian.AppendUint32(dst, p.Count)
	dst = binary.BigEndian.AppendUint64(dst, p.Covered)
	dst = binary.BigEndian.AppendUint64(dst, p.First)
	dst = binary.BigEndian.AppendUint64(dst, p.Previous)
	dst = binary.BigEndian.AppendUint64(dst, p.LastSeq)
	dst = binary.BigEndian.AppendUint32(dst, p.Sum)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	return append(dst, p.Body...)
}

// ParsePart reads one record of a checkpoint. The body aliases record.
func ParsePart(record []byte) (*Part, error) {
	h, b, err := ParseHeader(record)
	if err != nil {
		return nil, err
	}
	if h.Kind != KindCheckpoint || len(b) < partHeaderSize {
		return nil, fmt.Errorf("%w: not a checkpoint part", ErrMalformed)
	}
	p := &Part{
		Header: h, Index: binary.BigEndian.Uint32(b), Count: binary.BigEndian.Uint32(b[4:]),
		Covered: binary.BigEndian.Uint64(b[8:]), First: binary.BigEndian.Uint64(b[16:]),
		Previous: binary.BigEndian.Uint64(b[24:]), LastSeq: binary.BigEndian.Uint64(b[32:]),
		Sum: binary.BigEndian.Uint32(b[40:]), Body: b[partHeaderSize:],
	}
	if p.Index >= p.Count || p.First != p.Covered+1 || p.Previous >= p.First {
		return nil, fmt.Errorf("%w: checkpoint part %d of %d", ErrMalformed, p.Index, p.Count)
	}
	return p, nil
}

// cut divides a checkpoint taken at chain's position into its records.
func cut(c *Chain, h Header, previous uint64, body []byte) [][]byte {
	h.Kind, h.Predecessor = KindCheckpoint, c.Last
	count := max(1, (len(body)+partBytes-1)/partBytes)
	sum := crc32.Checksum(body, castagnoli)
	records := make([][]byte, count)
	for i := range records {
		share := body[min(i*partBytes, len(body)):min((i+1)*partBytes, len(body))]
		p := Part{Header: h, Index: uint32(i), Count: uint32(count), Covered: c.Tail, First: c.Tail + 1, Previous: previous,
			LastSeq: c.LastSequence, Sum: sum, Body: share}
		records[i] = p.append(make([]byte, 0, HeaderSize+partHeaderSize+len(share)))
	}
	return records
}

// join puts the shares of a checkpoint, read from First on, together again and says where its reader stands.
func join(parts []*Part) (Chain, []byte, error) {
	var body []byte
	for i, p := range parts {
		if p.Header != parts[0].Header || int(p.Index) != i || int(p.Count) != len(parts) || p.First != parts[0].First {
			return Chain{}, nil, fmt.Errorf("%w: checkpoint part %d of %d belongs to another", ErrMalformed, i, len(parts))
		}
		body = append(body, p.Body...)
	}
	if len(parts) == 0 || crc32.Checksum(body, castagnoli) != parts[0].Sum {
		return Chain{}, nil, fmt.Errorf("%w: checksum of a checkpoint", ErrMalformed)
	}
	p := parts[0]
	return Chain{Tail: p.First + uint64(p.Count) - 1, Last: p.Header.Predecessor, LastSequence: p.LastSeq}, body, nil
}

// appendVoids and parseVoids carry the chain's void sequences in front of the machine's own checkpoint.
func appendVoids(dst []byte, voids []uint64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(voids)))
	for _, v := range voids {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	return dst
}

func parseVoids(b []byte) (voids []uint64, rest []byte, err error) {
	if len(b) < 4 || uint64(len(b)-4) < 8*uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, fmt.Errorf("%w: void sequences of a checkpoint", ErrMalformed)
	}
	n := int(binary.BigEndian.Uint32(b))
	for i := range n {
		voids = append(voids, binary.BigEndian.Uint64(b[4+8*i:]))
	}
	return voids, b[4+8*n:], nil
}
