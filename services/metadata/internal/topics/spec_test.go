package topics

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
)

var limits = Limits{Brokers: 3, DefaultPartitions: 5, DefaultFactor: 2, MaxMessageBytes: 8 << 20}

func request(name string, partitions int32, factor int16) *kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	return &t
}

func assigned(t *kmsg.CreateTopicsRequestTopic, partition int32, replicas ...int32) *kmsg.CreateTopicsRequestTopic {
	a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	a.Partition, a.Replicas = partition, replicas
	t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	return t
}

func config(t *kmsg.CreateTopicsRequestTopic, name string, value *string) *kmsg.CreateTopicsRequestTopic {
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = name, value
	t.Configs = append(t.Configs, c)
	return t
}

func TestResolve(t *testing.T) {
	s := kmsg.StringPtr
	for what, c := range map[string]struct {
		request *kmsg.CreateTopicsRequestTopic
		want    *kerr.Error
		spec    Spec // without name and configs
	}{
		"plain":                       {request("x", 6, 1), nil, Spec{Partitions: 6, Logs: 4, Factor: 1}},
		"defaults":                    {request("x", -1, -1), nil, Spec{Partitions: 5, Logs: 4, Factor: 2}},
		"few partitions, few logs":    {request("x", 2, 1), nil, Spec{Partitions: 2, Logs: 2, Factor: 1}},
		"no partitions":               {request("x", 0, 1), kerr.InvalidPartitions, Spec{}},
		"negative partitions":         {request("x", -2, 1), kerr.InvalidPartitions, Spec{}},
		"too many partitions":         {request("x", 10_001, 1), kerr.InvalidPartitions, Spec{}},
		"no replicas":                 {request("x", 1, 0), kerr.InvalidReplicationFactor, Spec{}},
		"more replicas than brokers":  {request("x", 1, 4), kerr.InvalidReplicationFactor, Spec{}},
		"bad name":                    {request("a b", 1, 1), kerr.InvalidTopicException, Spec{}},
		"assigned":                    {assigned(assigned(request("x", -1, -1), 1, 2, 3), 0, 1, 2), nil, Spec{Partitions: 2, Logs: 2, Factor: 2}},
		"assigned and counted":        {assigned(request("x", 1, -1), 0, 1), kerr.InvalidRequest, Spec{}},
		"assigned and factor":         {assigned(request("x", -1, 1), 0, 1), kerr.InvalidRequest, Spec{}},
		"assigned with a gap":         {assigned(assigned(request("x", -1, -1), 0, 1), 2, 1), kerr.InvalidReplicaAssignment, Spec{}},
		"assigned twice":              {assigned(assigned(request("x", -1, -1), 0, 1), 0, 1), kerr.InvalidReplicaAssignment, Spec{}},
		"assigned to nobody":          {assigned(request("x", -1, -1), 0), kerr.InvalidReplicaAssignment, Spec{}},
		"assigned to a stranger":      {assigned(request("x", -1, -1), 0, 4), kerr.InvalidReplicaAssignment, Spec{}},
		"assigned to broker 0":        {assigned(request("x", -1, -1), 0, 0), kerr.InvalidReplicaAssignment, Spec{}},
		"assigned to one twice":       {assigned(request("x", -1, -1), 0, 1, 1), kerr.InvalidReplicaAssignment, Spec{}},
		"assigned unevenly":           {assigned(assigned(request("x", -1, -1), 0, 1), 1, 1, 2), kerr.InvalidReplicaAssignment, Spec{}},
		"unknown config":              {config(request("x", 1, 1), "nonsense", s("1")), kerr.InvalidConfig, Spec{}},
		"null config":                 {config(request("x", 1, 1), "retention.ms", nil), kerr.InvalidConfig, Spec{}},
		"bad value":                   {config(request("x", 1, 1), "retention.ms", s("soon")), kerr.InvalidConfig, Spec{}},
		"config twice":                {config(config(request("x", 1, 1), "retention.ms", s("1")), "retention.ms", s("1")), kerr.InvalidRequest, Spec{}},
		"message beyond NATS":         {config(request("x", 1, 1), "max.message.bytes", s("9000000")), kerr.InvalidConfig, Spec{}},
		"message within NATS":         {config(request("x", 1, 1), "max.message.bytes", s("8000000")), nil, Spec{Partitions: 1, Logs: 1, Factor: 1}},
		"logs":                        {config(request("x", 9, 1), cluster.ConfigLogs, s("9")), nil, Spec{Partitions: 9, Logs: 9, Factor: 1}},
		"more logs than partitions":   {config(request("x", 9, 1), cluster.ConfigLogs, s("10")), kerr.InvalidConfig, Spec{}},
		"no logs":                     {config(request("x", 9, 1), cluster.ConfigLogs, s("0")), kerr.InvalidConfig, Spec{}},
		"more logs than fit a number": {config(request("x", 9, 1), cluster.ConfigLogs, s("4294967297")), kerr.InvalidConfig, Spec{}},
	} {
		got, err := Resolve(c.request, limits)
		if code, _ := Code(err); kerr.TypedErrorForCode(code) != c.want {
			t.Errorf("%s: %v, want %v", what, err, c.want)
			continue
		}
		if err == nil && (got.Partitions != c.spec.Partitions || got.Logs != c.spec.Logs || got.Factor != c.spec.Factor || got.Name != "x") {
			t.Errorf("%s: %+v, want %+v", what, got, c.spec)
		}
	}
}

func TestCheckGrowth(t *testing.T) {
	topic := &cluster.Topic{Name: "x", Partitions: 3, Logs: 3, ReplicationFactor: 2}
	grow := func(count int32, replicas ...[]int32) *kmsg.CreatePartitionsRequestTopic {
		r := kmsg.NewCreatePartitionsRequestTopic()
		r.Topic, r.Count = "x", count
		for _, rs := range replicas {
			a := kmsg.NewCreatePartitionsRequestTopicAssignment()
			a.Replicas = rs
			r.Assignment = append(r.Assignment, a)
		}
		return &r
	}
	for what, c := range map[string]struct {
		request *kmsg.CreatePartitionsRequestTopic
		want    *kerr.Error
	}{
		"more":              {grow(5), nil},
		"as many":           {grow(3), kerr.InvalidPartitions},
		"fewer":             {grow(1), kerr.InvalidPartitions},
		"too many":          {grow(10_001), kerr.InvalidPartitions},
		"assigned":          {grow(5, []int32{1, 2}, []int32{2, 3}), nil},
		"assigned too few":  {grow(5, []int32{1, 2}), kerr.InvalidReplicaAssignment},
		"assigned unevenly": {grow(4, []int32{1}), kerr.InvalidReplicaAssignment},
		"assigned to none":  {grow(4, []int32{1, 9}), kerr.InvalidReplicaAssignment},
	} {
		err := CheckGrowth(topic, c.request, 3)
		if code, _ := Code(err); kerr.TypedErrorForCode(code) != c.want {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestCodes(t *testing.T) {
	if code, message := Code(nil); code != 0 || message != nil {
		t.Errorf("nil is %d", code)
	}
	if code, message := Code(errors.New("broken")); code != kerr.UnknownServerError.Code || !strings.Contains(*message, "broken") {
		t.Errorf("machinery is %d, %v", code, message)
	}
	err := Trouble(cluster.ErrUnknownTopic)
	if code, _ := Code(err); code != kerr.UnknownTopicOrPartition.Code || !IsRefusal(err) {
		t.Errorf("unknown topic is %d", code)
	}
}

func TestMapKeepsOrder(t *testing.T) {
	items := make([]int, 100)
	for i := range items {
		items[i] = i
	}
	for i, got := range Map(items, func(i int) int { return i * i }) {
		if got != i*i {
			t.Fatalf("item %d is %d", i, got)
		}
	}
}
