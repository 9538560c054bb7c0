package loadgen

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersions is version 3, which all of today's clients send first.
func apiVersions() kmsg.Request {
	r := kmsg.NewPtrApiVersionsRequest()
	r.Version, r.ClientSoftwareName, r.ClientSoftwareVersion = 3, "loadgen", "1"
	return r
}

// metadata asks for one topic, or with an empty name only for the cluster.
// Version 9 is the first with tagged fields; every Kafka since 2.4 has it.
func metadata(topic string, create bool) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.Version, r.AllowAutoTopicCreation = 9, create
	r.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	if topic != "" {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		r.Topics = append(r.Topics, t)
	}
	return r
}

// kafka makes a mode of a request that is the same on every connection.
func (p *plan) kafka(ctx context.Context, cfg Config, request kmsg.Request) error {
	if _, err := ask(ctx, cfg.Addr, request); err != nil {
		return fmt.Errorf("try the request: %w", err)
	}
	template := frameOf(request)
	p.exchange = func(int) exchange { return &kafkaExchange{request: request, template: template} }
	return nil
}
