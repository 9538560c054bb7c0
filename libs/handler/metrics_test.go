package handler

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
)

// M7, R7: each error code of an answer counts by api and name, NONE too, wherever in the answer it is.
func TestErrorsOfAnswersAreCounted(t *testing.T) {
	produce := func(codes ...int16) *kmsg.ProduceResponse {
		r := kmsg.NewPtrProduceResponse()
		for _, code := range codes {
			topic := kmsg.NewProduceResponseTopic()
			p := kmsg.NewProduceResponseTopicPartition()
			p.ErrorCode = code
			topic.Partitions = append(topic.Partitions, p)
			r.Topics = append(r.Topics, topic)
		}
		return r
	}
	fetch := kmsg.NewPtrFetchResponse()
	fetch.ErrorCode = kerr.FetchSessionIDNotFound.Code
	fetch.Topics = []kmsg.FetchResponseTopic{{Partitions: []kmsg.FetchResponseTopicPartition{{}, {ErrorCode: kerr.OffsetOutOfRange.Code}}}}
	heartbeat := kmsg.NewPtrHeartbeatResponse()
	heartbeat.ErrorCode = kerr.RebalanceInProgress.Code
	find := kmsg.NewPtrFindCoordinatorResponse()
	find.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{{ErrorCode: kerr.CoordinatorNotAvailable.Code}}
	find.SetVersion(4)
	findOld := kmsg.NewPtrFindCoordinatorResponse()
	findOld.ErrorCode = kerr.CoordinatorNotAvailable.Code
	findOld.SetVersion(3)
	strange := kmsg.NewPtrHeartbeatResponse()
	strange.ErrorCode = 9999

	tests := []struct {
		name     string
		response kmsg.Response
		want     map[string]float64
	}{
		{"all well", produce(0, 0, 0), map[string]float64{"NONE": 3}},
		{"of partitions", produce(0, kerr.NotLeaderForPartition.Code, 0, kerr.NotLeaderForPartition.Code, kerr.UnknownTopicID.Code),
			map[string]float64{"NONE": 2, "NOT_LEADER_FOR_PARTITION": 2, "UNKNOWN_TOPIC_ID": 1}},
		{"above and below", fetch, map[string]float64{"FETCH_SESSION_ID_NOT_FOUND": 1, "NONE": 1, "OFFSET_OUT_OF_RANGE": 1}},
		{"above only", heartbeat, map[string]float64{"REBALANCE_IN_PROGRESS": 1}},
		{"moved into a list", find, map[string]float64{"COORDINATOR_NOT_AVAILABLE": 1}},
		{"before it moved", findOld, map[string]float64{"COORDINATOR_NOT_AVAILABLE": 1}},
		{"unknown to Kafka", strange, map[string]float64{"UNKNOWN_SERVER_ERROR": 1}},
		{"nothing in it", produce(), map[string]float64{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			a := newMetrics(reg, "test").of(protocol.APIKey(test.response.Key()))
			a.answered(test.response)
			if got := errorCounts(t, reg, protocol.APIKey(test.response.Key()).String()); !maps.Equal(got, test.want) {
				t.Fatalf("%v, want %v", got, test.want)
			}
		})
	}
}

// No error code of any api that clients use is overlooked: all that kmsg calls an error code is in the plan.
func TestEveryErrorCodeIsFound(t *testing.T) {
	for key := range protocol.APIKey(93) {
		if !key.Known() {
			continue
		}
		response := kmsg.ResponseForKey(int16(key))
		v := reflect.ValueOf(response).Elem()
		want := 0
		fill(v, &want)
		got := 0
		response.SetVersion(0)
		errorCodesOf(int16(key)).each(response, func(code int16) {
			if code != 77 {
				t.Errorf("%s: code %d", key, code)
			}
			got++
		})
		if got != want {
			t.Errorf("%s: %d codes of %d", key, got, want)
		}
	}
}

// fill makes every list two long and every error code 77, whatever it is called in full. ConfigErrorCode tells why a
// topic's configs are left out of CreateTopics' answer, which Kafka does not count either.
func fill(v reflect.Value, codes *int) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case f.Kind() == reflect.Int16 && strings.Contains(name, "Error") && name != "ConfigErrorCode":
			f.SetInt(77)
			*codes++
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
			fill(f.Index(0), codes)
			fill(f.Index(1), codes)
		case f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(reflect.New(f.Type().Elem()))
			fill(f.Elem(), codes)
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[kmsg.Tags]():
			fill(f, codes)
		}
	}
}

func errorCounts(t *testing.T, reg *prometheus.Registry, api string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "kanal_request_errors_total" && labels["api"] == api && m.GetCounter().GetValue() > 0 {
				counts[labels["error"]] += m.GetCounter().GetValue()
			}
		}
	}
	return counts
}

// BenchmarkErrorCounts is what counting costs an answer with one partition.
func BenchmarkErrorCounts(b *testing.B) {
	a := newMetrics(prometheus.NewRegistry(), "test").of(protocol.Produce)
	r := kmsg.NewPtrProduceResponse()
	r.Topics = []kmsg.ProduceResponseTopic{{Partitions: []kmsg.ProduceResponseTopicPartition{{}}}}
	b.ReportAllocs()
	for b.Loop() {
		a.answered(r)
	}
}
