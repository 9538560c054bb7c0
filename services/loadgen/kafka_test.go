package loadgen

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTo is a response as a server writes it.
func answerTo(request []byte, r kmsg.Response) []byte {
	b := append([]byte(nil), request[correlationAt:correlationAt+4]...)
	if r.IsFlexible() && r.Key() != int16(kmsg.ApiVersions) {
		b = append(b, 0)
	}
	return r.AppendTo(b)
}

func produced(code int16, offset int64) *kmsg.ProduceResponse {
	p := kmsg.NewProduceResponseTopicPartition()
	p.ErrorCode, p.BaseOffset = code, offset
	t := kmsg.NewProduceResponseTopic()
	t.Topic, t.Partitions = "t", append(t.Partitions, p)
	r := kmsg.NewPtrProduceResponse()
	r.Version, r.Topics = 9, append(r.Topics, t)
	return r
}

func TestJudge(t *testing.T) {
	metadataOf := func(code int16, brokers int) *kmsg.MetadataResponse {
		r := kmsg.NewPtrMetadataResponse()
		r.Version = 9
		name := "t"
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = &name, code
		r.Topics = append(r.Topics, topic)
		for range brokers {
			r.Brokers = append(r.Brokers, kmsg.NewMetadataResponseBroker())
		}
		return r
	}
	versions := func(code int16) *kmsg.ApiVersionsResponse {
		r := kmsg.NewPtrApiVersionsResponse()
		r.Version, r.ErrorCode = 3, code
		return r
	}
	produce := produceRequest(Config{Topic: "t"}, 0, newBatch(1, 1))
	nobody := kmsg.NewPtrProduceResponse()
	nobody.Version = 9
	for name, c := range map[string]struct {
		request  kmsg.Request
		response kmsg.Response
		change   func([]byte) []byte
		want     error
	}{
		"produced":          {request: produce, response: produced(0, 10)},
		"not leader":        {request: produce, response: produced(6, -1), want: kerr.NotLeaderForPartition},
		"nothing produced":  {request: produce, response: nobody, want: errEmpty},
		"versions":          {request: apiVersions(), response: versions(0)},
		"versions refused":  {request: apiVersions(), response: versions(35), want: kerr.UnsupportedVersion},
		"metadata":          {request: metadata("t", false), response: metadataOf(0, 2)},
		"metadata, error":   {request: metadata("t", false), response: metadataOf(3, 2), want: kerr.UnknownTopicOrPartition},
		"metadata, nobody":  {request: metadata("", false), response: metadataOf(0, 0), want: errEmpty},
		"another's answer":  {request: produce, response: produced(0, 10), change: func(b []byte) []byte { b[3]++; return b }, want: errCorrelation},
		"cut":               {request: produce, response: produced(0, 10), change: func(b []byte) []byte { return b[:len(b)-3] }, want: errUnreadable},
		"nothing":           {request: produce, response: produced(0, 10), change: func(b []byte) []byte { return nil }, want: errCorrelation},
		"a header's tag":    {request: produce, response: produced(0, 10), change: func(b []byte) []byte { b[4] = 1; return b }, want: errUnreadable},
		"only a header":     {request: produce, response: produced(0, 10), change: func(b []byte) []byte { return b[:4] }, want: errUnreadable},
		"no error of Kafka": {request: produce, response: produced(9999, 0), want: kerr.UnknownServerError},
	} {
		t.Run(name, func(t *testing.T) {
			e := &kafkaExchange{request: c.request, template: frameOf(c.request)}
			for range 2 { // the second time an answer is compared with the first
				frame := e.next(nil)
				answer := answerTo(frame, c.response)
				if c.change != nil {
					answer = c.change(answer)
				}
				if err := e.judge(frame, answer); !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
			}
		})
	}
}

// A good answer does not make a later bad one good.
func TestJudgeAgain(t *testing.T) {
	e := &kafkaExchange{request: apiVersions(), template: frameOf(apiVersions())}
	for _, code := range []int16{0, 0, 35, 0} {
		r := kmsg.NewPtrApiVersionsResponse()
		r.Version, r.ErrorCode = 3, code
		frame := e.next(nil)
		if err := e.judge(frame, answerTo(frame, r)); (err == nil) != (code == 0) {
			t.Fatalf("code %d: %v", code, err)
		}
	}
	if n := binary.BigEndian.Uint32(e.next(nil)[correlationAt:]); n != 5 {
		t.Errorf("correlation id %d", n)
	}
}

func TestLeaders(t *testing.T) {
	r := kmsg.NewPtrMetadataResponse()
	for id, port := range map[int32]int32{1: 9093, 2: 9094} {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, "127.0.0.1", port
		r.Brokers = append(r.Brokers, b)
	}
	topic := kmsg.NewMetadataResponseTopic()
	for p, leader := range []int32{2, 1, 2} {
		mp := kmsg.NewMetadataResponseTopicPartition()
		mp.Partition, mp.Leader = int32(p), leader
		topic.Partitions = append(topic.Partitions, mp)
	}
	r.Topics = append(r.Topics, topic)
	targets, err := leadersIn(r)
	if err != nil || len(targets) != 3 || targets[0].addr.Port() != 9094 || targets[1].addr.Port() != 9093 || targets[2].partition != 2 {
		t.Fatalf("%+v, %v", targets, err)
	}
	r.Topics[0].Partitions[1].Leader = -1
	if _, err := leadersIn(r); !errors.Is(err, kerr.LeaderNotAvailable) {
		t.Errorf("without a leader: %v", err)
	}
	r.Topics = nil
	if _, err := leadersIn(r); !errors.Is(err, errEmpty) {
		t.Errorf("without the topic: %v", err)
	}
}
