package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/cluster"
	"kanal/libs/handler"
	"kanal/services/records/internal/holder"
)

// DescribeLogDirs (key 35), versions 1 to 4.
//
// A broker has one log dir, JetStream, with the partitions that it leads and their real sizes: replicas are JetStream's and no other
// broker's. A request by a connection that is for no broker in particular is about all brokers. A log that does not open is left out.
//
//	3  top-level error: there is none
//	4  total and usable bytes (KIP-827): of JetStream, -1 where it has no limit of its own

// logDir is what the one log dir is called.
const logDir = "jetstream"

// Space tells of the storage's bytes: the limit and what is left of it, -1 for unknown.
type Space interface {
	Space(ctx context.Context) (total, usable int64)
}

// opensAtOnce bounds how many logs are opened beside each other for a description.
const opensAtOnce = 16

func (a *API) describeLogDirs(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	q := r.Body.(*kmsg.DescribeLogDirsRequest)
	resp := q.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	logs := a.logsOf(q, r.Broker)
	if there, ok := a.elsewhere(r, logs); ok {
		return nil, handler.Redirect(there)
	}
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = logDir
	dir.Topics = []kmsg.DescribeLogDirsResponseDirTopic{}
	for some := range slices.Chunk(logs, opensAtOnce) {
		a.addSizes(ctx, &dir, some)
	}
	dir.TotalBytes, dir.UsableBytes = a.space.Space(ctx)
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil
}

// described is one log that is to be described.
type described struct {
	topic      *cluster.Topic
	index      int32
	partitions []int32
	opening    *holder.Opening
}

// logsOf lists the logs that a request is about: the partitions that it names, or all, as far as the broker leads them.
func (a *API) logsOf(q *kmsg.DescribeLogDirsRequest, broker int32) []*described {
	var logs []*described
	add := func(t *cluster.Topic, asked func(int32) bool) {
		for index := range t.Logs {
			if leads := a.topics.Leader(t.Name, index); broker > 0 && leads != broker {
				continue
			}
			d := &described{topic: t, index: index}
			for p := index; p < t.Partitions; p += t.Logs {
				if asked(p) {
					d.partitions = append(d.partitions, p)
				}
			}
			if len(d.partitions) > 0 {
				logs = append(logs, d)
			}
		}
	}
	if q.Topics == nil {
		for _, t := range a.topics.Topics() {
			add(t, func(int32) bool { return true })
		}
	}
	for i := range q.Topics {
		if t := a.topics.Topic(q.Topics[i].Topic); t != nil {
			add(t, func(p int32) bool { return slices.Contains(q.Topics[i].Partitions, p) })
		}
	}
	return logs
}

// elsewhere names the instance that holds all of the logs, if it is another one: it has them open.
func (a *API) elsewhere(r *handler.Request, logs []*described) (string, bool) {
	there := ""
	for i, d := range logs {
		instance, elsewhere := a.holder.Elsewhere(d.topic.Name, d.index)
		if r.MustServe || !elsewhere || i > 0 && instance != there {
			return "", false
		}
		there = instance
	}
	return there, there != ""
}

// addSizes describes some logs.
func (a *API) addSizes(ctx context.Context, dir *kmsg.DescribeLogDirsResponseDir, logs []*described) {
	for _, d := range logs {
		d.opening = a.holder.Look(d.topic, d.index)
	}
	for _, d := range logs {
		l, err := d.opening.Wait(ctx)
		if err != nil {
			continue // its cause is logged where it was opened
		}
		n := len(dir.Topics) - 1
		if n < 0 || dir.Topics[n].Topic != d.topic.Name {
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic = d.topic.Name
			dir.Topics, n = append(dir.Topics, t), n+1
		}
		for _, number := range d.partitions {
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition, p.Size = number, l.Size(number)
			dir.Topics[n].Partitions = append(dir.Topics[n].Partitions, p)
		}
	}
}
