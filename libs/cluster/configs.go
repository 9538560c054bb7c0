package cluster

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ConfigType is the type of a config's value, numbered as in DescribeConfigs.
type ConfigType int8

// Types of config values.
const (
	ConfigBoolean ConfigType = 1
	ConfigString  ConfigType = 2
	ConfigInt     ConfigType = 3
	ConfigLong    ConfigType = 5
	ConfigDouble  ConfigType = 6
	ConfigList    ConfigType = 7
)

// ConfigDef describes one config of topics or brokers.
type ConfigDef struct {
	Name    string
	Type    ConfigType
	Default string
	// Synonym is the broker config with the same meaning; empty when Kafka has none.
	Synonym string
	// ReadOnly configs can be given when a topic is created, or a process
	// started, and never after.
	ReadOnly bool
	Doc      string

	min, max float64                  // of numbers
	values   []string                 // of strings and of a list's items; nil allows any
	check    func(value string) error // beyond that; nil for nothing
}

// checkCleanupPolicy refuses what is not built: a topic that silently keeps everything, or silently deletes what was to be compacted,
// is worse than none.
func checkCleanupPolicy(value string) error {
	if strings.Contains(value, "compact") {
		return errors.New("log compaction is not offered by this cluster; only delete is")
	}
	return nil
}

// checkTiered refuses what is not built, as a Kafka cluster without tiered storage does.
func checkTiered(value string) error {
	if value == "true" {
		return errors.New("tiered storage is not offered by this cluster")
	}
	return nil
}

// ConfigLogs is the topic config that fixes the number of logs of a topic. It has no
// counterpart in Kafka.
const ConfigLogs = "kanal.logs"

const (
	anyInt  = math.MaxInt32
	anyLong = math.MaxInt64
	keeps   = "nothing is compacted."
	noWork  = " Accepted and reported for compatibility, without effect: "
)

// TopicConfigs lists all topic configs by name. Those that nothing acts on say so.
var TopicConfigs = []ConfigDef{
	{Name: "cleanup.policy", Type: ConfigList, Default: "delete", Synonym: "log.cleanup.policy", values: []string{"delete", "compact"},
		check: checkCleanupPolicy,
		Doc:   "What happens to old records. Only delete is offered, by retention.ms and retention.bytes."},
	{Name: "compression.gzip.level", Type: ConfigInt, Default: "-1", Synonym: "compression.gzip.level", min: -1, max: 9,
		Doc: "Level of gzip." + noWork + "batches are never compressed again."},
	{Name: "compression.lz4.level", Type: ConfigInt, Default: "9", Synonym: "compression.lz4.level", min: 1, max: 17,
		Doc: "Level of lz4." + noWork + "batches are never compressed again."},
	{Name: "compression.type", Type: ConfigString, Default: "producer", Synonym: "compression.type", values: []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"},
		Doc: "Compression of stored batches. Batches are kept as the producer compressed them, whatever the value."},
	{Name: "compression.zstd.level", Type: ConfigInt, Default: "3", Synonym: "compression.zstd.level", min: -131072, max: 22,
		Doc: "Level of zstd." + noWork + "batches are never compressed again."},
	{Name: "delete.retention.ms", Type: ConfigLong, Default: "86400000", Synonym: "log.cleaner.delete.retention.ms", max: anyLong,
		Doc: "How long tombstones of compacted topics are kept, in milliseconds." + noWork + keeps},
	{Name: "file.delete.delay.ms", Type: ConfigLong, Default: "60000", Synonym: "log.segment.delete.delay.ms", max: anyLong,
		Doc: "Wait before files are deleted." + noWork + "files belong to NATS."},
	{Name: "flush.messages", Type: ConfigLong, Default: "9223372036854775807", Synonym: "log.flush.interval.messages", min: 1, max: anyLong,
		Doc: "Records between syncs." + noWork + "NATS syncs as its sync_interval says (docs/durability.md)."},
	{Name: "flush.ms", Type: ConfigLong, Default: "9223372036854775807", Synonym: "log.flush.interval.ms", max: anyLong,
		Doc: "Time between syncs." + noWork + "NATS syncs as its sync_interval says (docs/durability.md)."},
	{Name: "follower.replication.throttled.replicas", Type: ConfigList, Default: "",
		Doc: "Replicas whose replication is throttled." + noWork + "replication is JetStream's."},
	{Name: "index.interval.bytes", Type: ConfigInt, Default: "4096", Synonym: "log.index.interval.bytes", max: anyInt,
		Doc: "Distance of offset index entries." + noWork + "the index is Kanal's own."},
	{Name: ConfigLogs, Type: ConfigInt, Default: "4", ReadOnly: true, min: 1, max: anyInt,
		Doc: "Number of logs (JetStream streams) that hold the topic's partitions: partition p is in log p modulo this. Fixed when the topic is created, at most its partitions then; the default is the smaller of 4 and the partitions."},
	{Name: "leader.replication.throttled.replicas", Type: ConfigList, Default: "",
		Doc: "Replicas whose replication is throttled." + noWork + "replication is JetStream's."},
	{Name: "local.retention.bytes", Type: ConfigLong, Default: "-2", min: -2, max: anyLong,
		Doc: "retention.bytes of what is not in tiered storage; -2 for the same." + noWork + "there is no tiered storage."},
	{Name: "local.retention.ms", Type: ConfigLong, Default: "-2", min: -2, max: anyLong,
		Doc: "retention.ms of what is not in tiered storage; -2 for the same." + noWork + "there is no tiered storage."},
	{Name: "max.compaction.lag.ms", Type: ConfigLong, Default: "9223372036854775807", Synonym: "log.cleaner.max.compaction.lag.ms", min: 1, max: anyLong,
		Doc: "Longest time that a record may stay uncompacted, in milliseconds." + noWork + keeps},
	{Name: "max.message.bytes", Type: ConfigInt, Default: "1048588", Synonym: "message.max.bytes", max: anyInt,
		Doc: "Largest record batch accepted, in bytes. The upper bound follows from max_payload of the NATS servers."},
	{Name: "message.timestamp.after.max.ms", Type: ConfigLong, Default: "3600000", Synonym: "log.message.timestamp.after.max.ms", max: anyLong,
		Doc: "How far a record's timestamp may be ahead of the broker's clock, in milliseconds."},
	{Name: "message.timestamp.before.max.ms", Type: ConfigLong, Default: "9223372036854775807", Synonym: "log.message.timestamp.before.max.ms", max: anyLong,
		Doc: "How far a record's timestamp may be behind the broker's clock, in milliseconds."},
	{Name: "message.timestamp.type", Type: ConfigString, Default: "CreateTime", Synonym: "log.message.timestamp.type", values: []string{"CreateTime", "LogAppendTime"},
		Doc: "Whether records keep the producer's timestamp or get the time of their append."},
	{Name: "min.cleanable.dirty.ratio", Type: ConfigDouble, Default: "0.5", Synonym: "log.cleaner.min.cleanable.ratio", max: 1,
		Doc: "Share of uncompacted bytes at which compaction starts." + noWork + keeps},
	{Name: "min.compaction.lag.ms", Type: ConfigLong, Default: "0", Synonym: "log.cleaner.min.compaction.lag.ms", max: anyLong,
		Doc: "Shortest time that a record stays uncompacted, in milliseconds." + noWork + keeps},
	{Name: "min.insync.replicas", Type: ConfigInt, Default: "1", Synonym: "min.insync.replicas", min: 1, max: anyInt,
		Doc: "Replicas that must have a record before it is acknowledged. A write always needs the quorum of its JetStream stream; nothing beyond that is asked for."},
	{Name: "preallocate", Type: ConfigBoolean, Default: "false", Synonym: "log.preallocate",
		Doc: "Preallocate files." + noWork + "files belong to NATS."},
	{Name: "remote.log.copy.disable", Type: ConfigBoolean, Default: "false",
		Doc: "Copy nothing to tiered storage." + noWork + "there is none."},
	{Name: "remote.log.delete.on.disable", Type: ConfigBoolean, Default: "false",
		Doc: "Delete what is in tiered storage when it is disabled." + noWork + "there is none."},
	{Name: "remote.storage.enable", Type: ConfigBoolean, Default: "false", check: checkTiered,
		Doc: "Tiered storage. There is none: only false is taken."},
	{Name: "retention.bytes", Type: ConfigLong, Default: "-1", Synonym: "log.retention.bytes", min: -1, max: anyLong,
		Doc: "Size of a partition in bytes above which its oldest records are deleted, as long as this much stays; -1 for no limit."},
	{Name: "retention.ms", Type: ConfigLong, Default: "604800000", Synonym: "log.retention.ms", min: -1, max: anyLong,
		Doc: "How long records are kept, by their timestamps, in milliseconds; -1 for ever."},
	{Name: "segment.bytes", Type: ConfigInt, Default: "1073741824", Synonym: "log.segment.bytes", min: 14, max: anyInt,
		Doc: "Size of a segment." + noWork + "segments belong to NATS."},
	{Name: "segment.index.bytes", Type: ConfigInt, Default: "10485760", Synonym: "log.index.size.max.bytes", min: 4, max: anyInt,
		Doc: "Size of a segment's index." + noWork + "segments belong to NATS."},
	{Name: "segment.jitter.ms", Type: ConfigLong, Default: "0", Synonym: "log.roll.jitter.ms", max: anyLong,
		Doc: "Jitter of segment rolls." + noWork + "segments belong to NATS."},
	{Name: "segment.ms", Type: ConfigLong, Default: "604800000", Synonym: "log.roll.ms", min: 1, max: anyLong,
		Doc: "Age at which a segment is rolled." + noWork + "segments belong to NATS."},
	{Name: "unclean.leader.election.enable", Type: ConfigBoolean, Default: "false", Synonym: "unclean.leader.election.enable",
		Doc: "Elect leaders that lack records." + noWork + "there are no elections."},
}

// TopicConfig finds the definition of a topic config; nil when there is none.
func TopicConfig(name string) *ConfigDef {
	i, ok := slices.BinarySearchFunc(TopicConfigs, name, func(d ConfigDef, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return nil
	}
	return &TopicConfigs[i]
}

// Check tells what is wrong with a value (INVALID_CONFIG); nil for a good one.
func (d *ConfigDef) Check(value string) error {
	var err error
	switch d.Type {
	case ConfigBoolean:
		err = oneOf(value, []string{"true", "false"})
	case ConfigString:
		err = oneOf(value, d.values)
	case ConfigList:
		err = d.checkList(value)
	default:
		err = d.checkNumber(value)
	}
	if err == nil && d.check != nil {
		err = d.check(value)
	}
	if err != nil {
		return fmt.Errorf("invalid value %s for configuration %s: %w", value, d.Name, err)
	}
	return nil
}

func oneOf(value string, values []string) error {
	if values != nil && !slices.Contains(values, value) {
		return fmt.Errorf("must be one of: %s", strings.Join(values, ", "))
	}
	return nil
}

func (d *ConfigDef) checkList(value string) error {
	for item := range strings.SplitSeq(value, ",") {
		if err := oneOf(strings.TrimSpace(item), d.values); err != nil {
			return err
		}
	}
	return nil
}

func (d *ConfigDef) checkNumber(value string) error {
	n, err := strconv.ParseFloat(value, 64)
	if d.Type != ConfigDouble {
		var i int64
		i, err = strconv.ParseInt(value, 10, 64)
		n = float64(i)
	}
	switch {
	case err != nil:
		return fmt.Errorf("not a number of type %s", d.Type)
	case !(n >= d.min): // and so not for NaN
		return fmt.Errorf("value must be at least %v", d.min)
	case n > d.max:
		return fmt.Errorf("value must be no more than %.0f", d.max)
	}
	return nil
}

// String is Kafka's name of the type.
func (t ConfigType) String() string {
	switch t {
	case ConfigBoolean:
		return "BOOLEAN"
	case ConfigString:
		return "STRING"
	case ConfigInt:
		return "INT"
	case ConfigLong:
		return "LONG"
	case ConfigDouble:
		return "DOUBLE"
	case ConfigList:
		return "LIST"
	}
	return "UNKNOWN"
}

// Config is the value of a topic config that holds for the topic: what was
// set, or the default. Empty for a config that does not exist.
func (t *Topic) Config(name string) string {
	if v, ok := t.Configs[name]; ok {
		return v
	}
	if name == ConfigLogs {
		return strconv.Itoa(int(t.Logs))
	}
	if d := TopicConfig(name); d != nil {
		return d.Default
	}
	return ""
}

// ConfigInt is Config as a number; the default if what is stored is none.
func (t *Topic) ConfigInt(name string) int64 {
	n, err := strconv.ParseInt(t.Config(name), 10, 64)
	if d := TopicConfig(name); err != nil && d != nil {
		n, _ = strconv.ParseInt(d.Default, 10, 64) // the table's own defaults are tested
	}
	return n
}
