package protocol

import "strconv"

// APIKey names a Kafka api: the first two bytes of every request.
type APIKey int16

// The api keys of Kafka 4.1 that clients use.
const (
	Produce                      APIKey = 0
	Fetch                        APIKey = 1
	ListOffsets                  APIKey = 2
	Metadata                     APIKey = 3
	OffsetCommit                 APIKey = 8
	OffsetFetch                  APIKey = 9
	FindCoordinator              APIKey = 10
	JoinGroup                    APIKey = 11
	Heartbeat                    APIKey = 12
	LeaveGroup                   APIKey = 13
	SyncGroup                    APIKey = 14
	DescribeGroups               APIKey = 15
	ListGroups                   APIKey = 16
	SaslHandshake                APIKey = 17
	ApiVersions                  APIKey = 18
	CreateTopics                 APIKey = 19
	DeleteTopics                 APIKey = 20
	DeleteRecords                APIKey = 21
	InitProducerId               APIKey = 22
	OffsetForLeaderEpoch         APIKey = 23
	AddPartitionsToTxn           APIKey = 24
	AddOffsetsToTxn              APIKey = 25
	EndTxn                       APIKey = 26
	WriteTxnMarkers              APIKey = 27
	TxnOffsetCommit              APIKey = 28
	DescribeAcls                 APIKey = 29
	CreateAcls                   APIKey = 30
	DeleteAcls                   APIKey = 31
	DescribeConfigs              APIKey = 32
	AlterConfigs                 APIKey = 33
	AlterReplicaLogDirs          APIKey = 34
	DescribeLogDirs              APIKey = 35
	SaslAuthenticate             APIKey = 36
	CreatePartitions             APIKey = 37
	CreateDelegationToken        APIKey = 38
	RenewDelegationToken         APIKey = 39
	ExpireDelegationToken        APIKey = 40
	DescribeDelegationToken      APIKey = 41
	DeleteGroups                 APIKey = 42
	ElectLeaders                 APIKey = 43
	IncrementalAlterConfigs      APIKey = 44
	AlterPartitionReassignments  APIKey = 45
	ListPartitionReassignments   APIKey = 46
	OffsetDelete                 APIKey = 47
	DescribeClientQuotas         APIKey = 48
	AlterClientQuotas            APIKey = 49
	DescribeUserScramCredentials APIKey = 50
	AlterUserScramCredentials    APIKey = 51
	DescribeQuorum               APIKey = 55
	UpdateFeatures               APIKey = 57
	DescribeCluster              APIKey = 60
	DescribeProducers            APIKey = 61
	UnregisterBroker             APIKey = 64
	DescribeTransactions         APIKey = 65
	ListTransactions             APIKey = 66
	ConsumerGroupHeartbeat       APIKey = 68
	ConsumerGroupDescribe        APIKey = 69
	GetTelemetrySubscriptions    APIKey = 71
	PushTelemetry                APIKey = 72
	ListConfigResources          APIKey = 74
	DescribeTopicPartitions      APIKey = 75
	ShareGroupHeartbeat          APIKey = 76
	ShareGroupDescribe           APIKey = 77
	ShareFetch                   APIKey = 78
	ShareAcknowledge             APIKey = 79
	DescribeShareGroupOffsets    APIKey = 90
	AlterShareGroupOffsets       APIKey = 91
	DeleteShareGroupOffsets      APIKey = 92
)

// maxKey is one above the largest key of the table; a request with a key
// outside [0, maxKey) is refused before anything else of it is read.
const maxKey = 93

// String is the api's name, or its number where Kafka 4.1 has no such api for
// clients. It never allocates for a known key: it labels metrics.
func (k APIKey) String() string {
	if k.Known() {
		return apis[k].name
	}
	return strconv.Itoa(int(k))
}

// Known tells whether Kafka 4.1 has this api for clients.
func (k APIKey) Known() bool {
	return k >= 0 && k < maxKey && apis[k].name != ""
}

// Flexible tells whether requests of this version carry tagged fields (KIP-482),
// which decides the version of the request header: 2 if so, else 1.
func (k APIKey) Flexible(version int16) bool {
	return k.Known() && apis[k].flexible >= 0 && version >= apis[k].flexible
}

// ResponseHeaderFlexible tells whether the answer's header ends in tagged
// fields. ApiVersions never does, so that a client of any age can read it (L5).
func (k APIKey) ResponseHeaderFlexible(version int16) bool {
	return k != ApiVersions && k.Flexible(version)
}
