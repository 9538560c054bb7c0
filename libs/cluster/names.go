package cluster

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// MaxTopicName is the longest name of a topic in bytes, as in Kafka.
const MaxTopicName = 249

// ValidateTopicName tells what Kafka's Topic.validate would say of a name
// (INVALID_TOPIC_EXCEPTION); nil for a legal one.
func ValidateTopicName(name string) error {
	switch {
	case name == "":
		return errors.New("the empty string is not allowed")
	case name == "." || name == "..":
		return errors.New("'.' and '..' are not allowed")
	case len(name) > MaxTopicName:
		return fmt.Errorf("the length of %d is longer than the max allowed length %d", len(name), MaxTopicName)
	case strings.IndexFunc(name, illegalInTopic) >= 0:
		return fmt.Errorf("%q contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
	}
	return nil
}

func illegalInTopic(c rune) bool {
	return !(plain(c) || c == '.' || c == '_')
}

// plain characters stand for themselves in all names of NATS.
func plain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

// Collide tells whether two names become the same when '.' and '_' are one
// character, as they are in Kafka's metric names: Kafka refuses the second.
func Collide(a, b string) bool { return a != b && unifyName(a) == unifyName(b) }

func unifyName(name string) string { return strings.ReplaceAll(name, ".", "_") }

const (
	clusterKey    = "cluster"
	producerKey   = "producer-ids"
	topicPrefix   = "topic."
	versionPrefix = "versions."
)

// topicKey is the KV key of a topic. Dots may not stand at the end of a key nor
// beside each other, as they may in topics; '=' is legal in keys and in no topic.
func topicKey(name string) string { return topicPrefix + strings.ReplaceAll(name, ".", "=") }

func topicOfKey(key string) (name string, ok bool) {
	name, ok = strings.CutPrefix(key, topicPrefix)
	return strings.ReplaceAll(name, "=", "."), ok
}

// legal turns any string into one without '_' and '.' that bucket and stream
// names may contain. What had to be changed or cut gets a hash of the original,
// so that two strings stay two names.
func legal(s string) string {
	const longest = 80
	if len(s) <= longest && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	clean := strings.Map(func(c rune) rune {
		if plain(c) {
			return c
		}
		return '-'
	}, s)
	return clean[:min(len(clean), longest)] + "-" + hex.EncodeToString(h.Sum(nil))
}

// BucketName is the name of a cluster's KV bucket.
func BucketName(cluster string) string { return "kanal_" + legal(cluster) }

// StreamPrefix starts the names of all streams of a cluster's logs.
func StreamPrefix(cluster string) string { return "kanal_" + legal(cluster) + "_" }

// CoordinationStream is the stream of coordination log index, 0 to
// Info.CoordinationLogs-1.
func CoordinationStream(cluster string, index int32) string {
	return fmt.Sprintf("%scoordination_%d", StreamPrefix(cluster), index)
}

// spread is FNV-1a with a finalizer: the low bits of FNV alone follow the last
// characters too closely for a modulo by a small power of two.
func spread(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// GroupLog is the coordination log that a group (or transactional id) belongs
// to, of logs many. It is part of the stored format: a group lives where this
// says.
func GroupLog(id string, logs int32) int32 { return int32(spread(id) % uint64(logs)) }

// leader is the broker, 1 to brokers, that leads log index of what name names.
func leader(name string, index, brokers int32) int32 {
	return int32((spread(name)+uint64(index))%uint64(brokers)) + 1
}
