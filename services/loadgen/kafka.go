package loadgen

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const sizeBytes = 4

// correlationAt is where a request, without its size bytes, has its correlation
// id; an answer begins with it.
const correlationAt = 4

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("loadgen"))

// frameOf is a request with its header, without size bytes and with correlation
// id 0.
func frameOf(request kmsg.Request) []byte {
	return formatter.AppendRequest(nil, request, 0)[sizeBytes:]
}

// decode reads an answer, header included, into a new response.
func decode(request kmsg.Request, answer []byte) (kmsg.Response, error) {
	response := request.ResponseKind()
	if len(answer) < sizeBytes {
		return nil, errUnreadable
	}
	body := answer[sizeBytes:]
	if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 { // no api has tags in the header of its answers
			return nil, errUnreadable
		}
		body = body[1:]
	}
	if err := response.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return response, failureOf(response)
}

// failureOf gives the Kafka error in a response.
func failureOf(response kmsg.Response) error {
	switch r := response.(type) {
	case *kmsg.ApiVersionsResponse:
		return kerr.ErrorForCode(r.ErrorCode)
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			if t.ErrorCode != 0 {
				return kerr.ErrorForCode(t.ErrorCode)
			}
		}
		if len(r.Brokers) == 0 {
			return errEmpty
		}
	case *kmsg.ProduceResponse:
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errEmpty
		}
		return kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode)
	}
	return nil
}

// kafkaExchange sends one request over and over, each with its own correlation id.
type kafkaExchange struct {
	request     kmsg.Request
	template    []byte
	correlation uint32
	touch       func(frame []byte) // makes the request new; nil if there is nothing to
	good        []byte             // body of the last answer that was judged good
}

func (e *kafkaExchange) next(buf []byte) []byte {
	e.correlation++
	frame := append(buf[:0], e.template...)
	binary.BigEndian.PutUint32(frame[correlationAt:], e.correlation)
	if e.touch != nil {
		e.touch(frame)
	}
	return frame
}

// judge decodes an answer unless it is word for word one that was good: a load
// generator that is busy decoding measures itself.
func (e *kafkaExchange) judge(request, answer []byte) error {
	if len(answer) < sizeBytes || !bytes.Equal(answer[:sizeBytes], request[correlationAt:correlationAt+4]) {
		return errCorrelation
	}
	if e.good != nil && bytes.Equal(answer[sizeBytes:], e.good) {
		return nil
	}
	if _, err := decode(e.request, answer); err != nil {
		return err
	}
	e.good = append(e.good[:0], answer[sizeBytes:]...)
	return nil
}
