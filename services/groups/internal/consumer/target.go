package consumer

import (
	"encoding/binary"
	"hash/fnv"
	"iter"
	"maps"
	"slices"

	"kanal/services/groups/internal/assignor"
)

// Topics are the cluster's topics.
type Topics interface {
	// Revision grows with every change.
	Revision() uint64
	// Topic gives a topic's id and number of partitions; ok is false if there is
	// none.
	Topic(name string) (id assignor.TopicID, partitions int32, ok bool)
	// Names lists all topics.
	Names() iter.Seq[string]
}

// matches are the topics that a regular expression matches, at a revision.
type matches struct {
	revision uint64
	names    []string // in order
}

func (m *matches) has(topic string) bool {
	_, ok := slices.BinarySearch(m.names, topic)
	return ok
}

// matches gives the topics of a regular expression as of the last look.
func (g *Group) matches(regex string) *matches {
	if m := g.regexes[regex]; m != nil {
		return m
	}
	return &matches{}
}

// look looks at the topics that members read, if anything can have changed
// since the last time. It tells whether they are others now, or have other
// partitions, than those that the target was made for.
func (g *Group) look(topics Topics) (changed bool) {
	revision := topics.Revision() // before the topics: a change in between is seen next time
	if g.looked && revision == g.revision {
		return false
	}
	g.match(revision, topics)
	g.looked, g.revision = true, revision
	h := fnv.New64a()
	for _, name := range g.read() {
		id, partitions, ok := topics.Topic(name)
		if !ok {
			continue
		}
		_, _ = h.Write(binary.BigEndian.AppendUint32(append([]byte(name), id[:]...), uint32(partitions))) // never fails
	}
	if hash := h.Sum64(); hash != g.topicsHash {
		g.topicsHash, changed = hash, true
		g.dirty.Group = true
	}
	return changed
}

// match brings all regular expressions of members to a revision.
func (g *Group) match(revision uint64, topics Topics) {
	old := g.regexes
	g.regexes = make(map[string]*matches)
	for _, m := range g.members {
		if m.regex == "" || g.regexes[m.regex] != nil {
			continue
		}
		if known := old[m.regex]; known != nil && known.revision == revision {
			g.regexes[m.regex] = known
			continue
		}
		found := &matches{revision: revision}
		if re, err := compile(m.regex); err == nil {
			for name := range topics.Names() {
				if re.MatchString(name) {
					found.names = append(found.names, name)
				}
			}
		}
		slices.Sort(found.names)
		g.regexes[m.regex] = found
	}
}

// read lists the names of all topics that members read, in order.
func (g *Group) read() []string {
	names := make(map[string]bool)
	for _, m := range g.members {
		for _, list := range [][]string{m.topics, g.matches(m.regex).names} {
			for _, name := range list {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// assign computes the target of the group's epoch.
func (g *Group) assign(topics Topics) {
	members := g.inOrder()
	spec := assignor.Spec{Members: make([]assignor.Member, len(members)), Partitions: make(map[assignor.TopicID]int32)}
	for i, m := range members {
		spec.Members[i] = assignor.Member{ID: m.id, InstanceID: m.instance, Before: m.target}
		for _, list := range [][]string{m.topics, g.matches(m.regex).names} {
			for _, name := range list {
				id, partitions, ok := topics.Topic(name)
				if ok && !slices.Contains(spec.Members[i].Topics, id) {
					spec.Members[i].Topics = append(spec.Members[i].Topics, id)
					spec.Partitions[id] = partitions
				}
			}
		}
	}
	g.assignor = g.preferred()
	for i, target := range assignor.Assignors[g.assignor](spec) {
		if m := members[i]; !m.target.Equal(target) {
			m.target = target
			g.dirty.member(m.id)
		}
	}
	g.targetEpoch = g.epoch
	g.dirty.Group = true
}
