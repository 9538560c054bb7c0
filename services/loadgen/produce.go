package loadgen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// target is a partition and its leader's address.
type target struct {
	partition int32
	addr      netip.AddrPort
}

// produce spreads the connections over the topic's partitions; each goes to the
// leader of its own, as clients do.
func (p *plan) produce(ctx context.Context, cfg Config) error {
	targets, err := findLeaders(ctx, cfg)
	if err != nil {
		return fmt.Errorf("find the leaders of topic %s: %w", cfg.Topic, err)
	}
	of := func(connection int) target { return targets[connection%len(targets)] }
	batch := newBatch(cfg.Records, cfg.Size)
	p.records, p.silent = cfg.Records, cfg.Acks == 0
	p.address = func(connection int) netip.AddrPort { return of(connection).addr }
	p.exchange = func(connection int) exchange { return newProducer(cfg, of(connection).partition, batch) }
	return nil
}

// produceRequest is version 9: the first with tagged fields, and the last style
// that names topics before ids took over.
func produceRequest(cfg Config, partition int32, batch []byte) kmsg.Request {
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, batch
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = cfg.Topic, append(rt.Partitions, rp)
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis, r.Topics = 9, int16(cfg.Acks), 30_000, append(r.Topics, rt)
	return r
}

// newProducer sends the batch again and again, with the time of each request.
func newProducer(cfg Config, partition int32, batch []byte) *kafkaExchange {
	e := &kafkaExchange{request: produceRequest(cfg, partition, batch)}
	e.template = frameOf(e.request)
	at := bytes.Index(e.template, batch)
	e.touch = func(frame []byte) { stamp(frame[at:at+len(batch)], time.Now().UnixMilli()) }
	return e
}

// findLeaders waits until every partition of the topic, which is made if it is
// missing, has a leader.
func findLeaders(ctx context.Context, cfg Config) ([]target, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		response, err := ask(ctx, cfg.Addr, metadata(cfg.Topic, true))
		if err == nil {
			var targets []target
			if targets, err = leadersIn(response.(*kmsg.MetadataResponse)); err == nil {
				return targets, nil
			}
		}
		if !kerr.IsRetriable(err) {
			return nil, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

func leadersIn(r *kmsg.MetadataResponse) ([]target, error) {
	brokers := map[int32]string{}
	for _, b := range r.Brokers {
		brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) == 0 {
		return nil, errEmpty
	}
	var targets []target
	for _, p := range r.Topics[0].Partitions {
		host, ok := brokers[p.Leader]
		if p.ErrorCode != 0 || !ok {
			return nil, kerr.LeaderNotAvailable
		}
		addr, err := resolve(host)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target{p.Partition, addr})
	}
	return targets, nil
}
