package api

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
)

// OffsetFetch, versions 1 to 9.
//
// What is answered rests on a confirmed tail of the log. A group that does not
// exist, and a partition without a commit, have offset -1 and no error.
//
//	v2 null asks for all topics; top-level error
//	v5 leader epochs
//	v7 require stable: UNSTABLE_OFFSET_COMMIT while a transaction may change it
//	v8 several groups (KIP-709)
//	v9 member ids and epochs of KIP-848: STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID
func (a *API) offsetFetch(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.OffsetFetchRequest)
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	asked := fetchedGroups(req)
	ids := make([]string, len(asked))
	for i := range asked {
		ids[i] = asked[i].Group
	}
	groups := make([]kmsg.OffsetFetchResponseGroup, len(asked))
	err := a.each(r, ids, func(i int, c *coordinator.Coordinator, e *kerr.Error) *kerr.Error {
		groups[i], e = fetchGroup(ctx, c, e, &asked[i], req.RequireStable)
		return e
	})
	if err != nil {
		return nil, err
	}
	if resp.Groups = groups; req.Version < 8 {
		singleGroup(resp, &groups[0])
	}
	return resp, nil
}

// fetchedGroups gives the request of every version the form of v8.
func fetchedGroups(req *kmsg.OffsetFetchRequest) []kmsg.OffsetFetchRequestGroup {
	if req.Version >= 8 {
		return req.Groups
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil {
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range req.Topics {
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = t.Topic, t.Partitions
		g.Topics = append(g.Topics, gt)
	}
	return []kmsg.OffsetFetchRequestGroup{g}
}

func fetchGroup(ctx context.Context, c *coordinator.Coordinator, e *kerr.Error, g *kmsg.OffsetFetchRequestGroup, stable bool) (kmsg.OffsetFetchResponseGroup, *kerr.Error) {
	rg := kmsg.NewOffsetFetchResponseGroup()
	rg.Group = g.Group
	var offsets map[coordinator.Partition]coordinator.Offset
	if e == nil {
		offsets, e = c.OffsetsFor(ctx, g.Group, value(g.MemberID), g.MemberEpoch)
	}
	rg.ErrorCode = code(e)
	asked := g.Topics
	if asked == nil {
		asked = allTopics(offsets, stable)
	}
	for i := range asked {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic = asked[i].Topic
		for _, partition := range asked[i].Partitions {
			o, ok := offsets[coordinator.Partition{Topic: rt.Topic, Partition: partition}]
			if !ok {
				o = coordinator.Offset{Offset: -1, LeaderEpoch: -1}
			}
			rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			if o.Unstable && stable {
				o, rp.ErrorCode = coordinator.Offset{Offset: -1, LeaderEpoch: -1}, kerr.UnstableOffsetCommit.Code
			}
			rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = partition, o.Offset, o.LeaderEpoch, &o.Metadata
			rt.Partitions = append(rt.Partitions, rp)
		}
		rg.Topics = append(rg.Topics, rt)
	}
	return rg, e
}

// allTopics asks for everything that has an offset, or may be about to have one,
// in order.
func allTopics(offsets map[coordinator.Partition]coordinator.Offset, pending bool) (out []kmsg.OffsetFetchRequestGroupTopic) {
	byTopic := make(map[string][]int32)
	for p, o := range offsets {
		if o.Offset < 0 && !pending {
			continue
		}
		byTopic[p.Topic] = append(byTopic[p.Topic], p.Partition)
	}
	for topic, partitions := range byTopic {
		slices.Sort(partitions)
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topic, partitions
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b kmsg.OffsetFetchRequestGroupTopic) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}

// singleGroup puts the one group where versions before 8 have it. v1 has no
// place for an error but the partitions.
func singleGroup(resp *kmsg.OffsetFetchResponse, g *kmsg.OffsetFetchResponseGroup) {
	resp.ErrorCode = g.ErrorCode
	for i := range g.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = g.Topics[i].Topic
		for _, p := range g.Topics[i].Partitions {
			rp := kmsg.NewOffsetFetchResponseTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata, rp.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			if g.ErrorCode != 0 {
				rp.ErrorCode = g.ErrorCode
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
}
