package protocol

// never marks an api without flexible versions.
const never = -1

type api struct {
	name     string
	max      int16 // newest version of Kafka 4.1
	flexible int16 // first version with tagged fields
}

// apis is what one coherent Kafka release, 4.1, offers to clients. A test
// holds it against an independent implementation of the protocol.
var apis = [maxKey]api{
	Produce:                      {"Produce", 13, 9},
	Fetch:                        {"Fetch", 18, 12},
	ListOffsets:                  {"ListOffsets", 10, 6},
	Metadata:                     {"Metadata", 13, 9},
	OffsetCommit:                 {"OffsetCommit", 9, 8},
	OffsetFetch:                  {"OffsetFetch", 9, 6},
	FindCoordinator:              {"FindCoordinator", 6, 3},
	JoinGroup:                    {"JoinGroup", 9, 6},
	Heartbeat:                    {"Heartbeat", 4, 4},
	LeaveGroup:                   {"LeaveGroup", 5, 4},
	SyncGroup:                    {"SyncGroup", 5, 4},
	DescribeGroups:               {"DescribeGroups", 6, 5},
	ListGroups:                   {"ListGroups", 5, 3},
	SaslHandshake:                {"SaslHandshake", 1, never},
	ApiVersions:                  {"ApiVersions", 5, 3}, // 5: KIP-1242, see docs/protocol.md
	CreateTopics:                 {"CreateTopics", 7, 5},
	DeleteTopics:                 {"DeleteTopics", 6, 4},
	DeleteRecords:                {"DeleteRecords", 2, 2},
	InitProducerId:               {"InitProducerId", 5, 2},
	OffsetForLeaderEpoch:         {"OffsetForLeaderEpoch", 4, 4},
	AddPartitionsToTxn:           {"AddPartitionsToTxn", 5, 3},
	AddOffsetsToTxn:              {"AddOffsetsToTxn", 4, 3},
	EndTxn:                       {"EndTxn", 5, 3},
	WriteTxnMarkers:              {"WriteTxnMarkers", 1, 1},
	TxnOffsetCommit:              {"TxnOffsetCommit", 5, 3},
	DescribeAcls:                 {"DescribeAcls", 3, 2},
	CreateAcls:                   {"CreateAcls", 3, 2},
	DeleteAcls:                   {"DeleteAcls", 3, 2},
	DescribeConfigs:              {"DescribeConfigs", 4, 4},
	AlterConfigs:                 {"AlterConfigs", 2, 2},
	AlterReplicaLogDirs:          {"AlterReplicaLogDirs", 2, 2},
	DescribeLogDirs:              {"DescribeLogDirs", 4, 2},
	SaslAuthenticate:             {"SaslAuthenticate", 2, 2},
	CreatePartitions:             {"CreatePartitions", 3, 2},
	CreateDelegationToken:        {"CreateDelegationToken", 3, 2},
	RenewDelegationToken:         {"RenewDelegationToken", 2, 2},
	ExpireDelegationToken:        {"ExpireDelegationToken", 2, 2},
	DescribeDelegationToken:      {"DescribeDelegationToken", 3, 2},
	DeleteGroups:                 {"DeleteGroups", 2, 2},
	ElectLeaders:                 {"ElectLeaders", 2, 2},
	IncrementalAlterConfigs:      {"IncrementalAlterConfigs", 1, 1},
	AlterPartitionReassignments:  {"AlterPartitionReassignments", 1, 0},
	ListPartitionReassignments:   {"ListPartitionReassignments", 0, 0},
	OffsetDelete:                 {"OffsetDelete", 0, never},
	DescribeClientQuotas:         {"DescribeClientQuotas", 1, 1},
	AlterClientQuotas:            {"AlterClientQuotas", 1, 1},
	DescribeUserScramCredentials: {"DescribeUserScramCredentials", 0, 0},
	AlterUserScramCredentials:    {"AlterUserScramCredentials", 0, 0},
	DescribeQuorum:               {"DescribeQuorum", 2, 0},
	UpdateFeatures:               {"UpdateFeatures", 2, 0},
	DescribeCluster:              {"DescribeCluster", 2, 0},
	DescribeProducers:            {"DescribeProducers", 0, 0},
	UnregisterBroker:             {"UnregisterBroker", 0, 0},
	DescribeTransactions:         {"DescribeTransactions", 0, 0},
	ListTransactions:             {"ListTransactions", 2, 0},
	ConsumerGroupHeartbeat:       {"ConsumerGroupHeartbeat", 1, 0},
	ConsumerGroupDescribe:        {"ConsumerGroupDescribe", 1, 0},
	GetTelemetrySubscriptions:    {"GetTelemetrySubscriptions", 0, 0},
	PushTelemetry:                {"PushTelemetry", 0, 0},
	ListConfigResources:          {"ListConfigResources", 1, 0},
	DescribeTopicPartitions:      {"DescribeTopicPartitions", 0, 0},
	ShareGroupHeartbeat:          {"ShareGroupHeartbeat", 1, 0},
	ShareGroupDescribe:           {"ShareGroupDescribe", 1, 0},
	ShareFetch:                   {"ShareFetch", 1, 0},
	ShareAcknowledge:             {"ShareAcknowledge", 1, 0},
	DescribeShareGroupOffsets:    {"DescribeShareGroupOffsets", 0, 0},
	AlterShareGroupOffsets:       {"AlterShareGroupOffsets", 0, 0},
	DeleteShareGroupOffsets:      {"DeleteShareGroupOffsets", 0, 0},
}
