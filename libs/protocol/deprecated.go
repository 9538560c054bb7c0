package protocol

// oldestCurrent is the oldest version that Kafka 4 has kept of an api (KIP-896), where that is not 0. Produce is still
// announced from 0, because librdkafka looks for it, and no more served below 3.
var oldestCurrent = map[APIKey]int16{
	Produce: 3, Fetch: 4, ListOffsets: 1, OffsetCommit: 2, OffsetFetch: 1, CreateTopics: 2, DeleteTopics: 1,
	OffsetForLeaderEpoch: 2, WriteTxnMarkers: 1, DescribeAcls: 1, CreateAcls: 1, DeleteAcls: 1, DescribeConfigs: 1,
	AlterReplicaLogDirs: 1, DescribeLogDirs: 1, CreateDelegationToken: 1, RenewDelegationToken: 1,
	ExpireDelegationToken: 1, DescribeDelegationToken: 1,
}

// Deprecated tells whether a version is one that Kafka 4 has given up: a client that still sends it is too old.
func (k APIKey) Deprecated(version int16) bool { return version < oldestCurrent[k] }
