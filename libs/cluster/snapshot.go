package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kanal/libs/future"
	"kanal/libs/protocol"
)

// snapshot is the whole bucket at one revision. It is immutable once published.
type snapshot struct {
	revision uint64
	info     Info
	topics   map[string]*Topic
	byID     map[[16]byte]*Topic
	sorted   []*Topic
	unified  map[string][]string // names by their form with '.' as '_'
	versions map[string]protocol.Ranges
	brokers  BrokerConfigs
	users    map[string]*User
	// offsetsTopic: the internal topic is shown
	offsetsTopic bool
}

// builder collects entries; its owner is the goroutine that follows the bucket.
type builder struct {
	revision uint64
	info     Info
	topics   map[string]*Topic
	versions map[string]protocol.Ranges
	brokers  BrokerConfigs
	users    map[string]*User // by key

	offsetsTopic bool
}

func newBuilder(s *snapshot) *builder {
	return &builder{
		revision: s.revision, info: s.info,
		topics: make(map[string]*Topic), versions: make(map[string]protocol.Ranges), users: make(map[string]*User),
	}
}

// put applies one entry. An entry that cannot be read changes nothing: a topic
// known before stays as it was known, and the rest of the bucket goes on.
func (b *builder) put(key string, value []byte, revision uint64) error {
	b.revision = max(b.revision, revision)
	if key == clusterKey {
		e, err := decodeInfo(value)
		if err == nil {
			b.info = e.info()
		}
		return err
	}
	if name, ok := topicOfKey(key); ok {
		t, err := decodeTopic(key, value, revision)
		if err == nil {
			b.topics[name] = t
		}
		return err
	}
	if service, ok := strings.CutPrefix(key, versionPrefix); ok {
		ranges, err := decodeVersions(value)
		if err == nil {
			b.versions[service] = ranges
		}
		return err
	}
	if key == BrokerConfigsKey {
		return b.putBrokerConfigs(value, revision)
	}
	if strings.HasPrefix(key, userPrefix) {
		u, err := decodeUser(key, value)
		if err == nil {
			b.users[key] = u
		}
		return err
	}
	b.offsetsTopic = b.offsetsTopic || key == offsetsTopicKey
	return nil // producer ids and whatever later versions keep here
}

// remove applies the deletion of an entry. The cluster's own cannot be deleted.
func (b *builder) remove(key string, revision uint64) {
	b.revision = max(b.revision, revision)
	if name, ok := topicOfKey(key); ok {
		delete(b.topics, name)
	}
	if service, ok := strings.CutPrefix(key, versionPrefix); ok {
		delete(b.versions, service)
	}
	if key == BrokerConfigsKey {
		b.brokers = BrokerConfigs{Revision: revision}
	}
	delete(b.users, key)
	b.offsetsTopic = b.offsetsTopic && key != offsetsTopicKey
}

func (b *builder) snapshot() *snapshot {
	s := &snapshot{
		revision: b.revision, info: b.info,
		topics: maps.Clone(b.topics), versions: maps.Clone(b.versions), brokers: b.brokers,
		byID:    make(map[[16]byte]*Topic, len(b.topics)),
		sorted:  make([]*Topic, 0, len(b.topics)),
		unified: make(map[string][]string, len(b.topics)),
		users:   make(map[string]*User, len(b.users)),

		offsetsTopic: b.offsetsTopic,
	}
	for name, t := range b.topics {
		s.byID[t.ID] = t
		s.sorted = append(s.sorted, t)
		s.unified[unifyName(name)] = append(s.unified[unifyName(name)], name)
	}
	for _, u := range b.users {
		s.users[u.Name] = u
	}
	slices.SortFunc(s.sorted, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	return s
}

const versionsVersion = 1

type versionsEntry struct {
	Version int                                       `json:"version"`
	Apis    map[protocol.APIKey]protocol.VersionRange `json:"apis"`
	future.Fields
}

func decodeVersions(value []byte) (protocol.Ranges, error) {
	var e versionsEntry
	if err := json.Unmarshal(value, &e); err != nil {
		return nil, fmt.Errorf("%w: versions: %w", ErrInvalidEntry, err)
	}
	if e.Version != versionsVersion {
		return nil, fmt.Errorf("%w: versions: version %d, this build reads %d", ErrInvalidEntry, e.Version, versionsVersion)
	}
	return e.Apis, nil
}
