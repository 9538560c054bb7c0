package api

// replicas are the brokers shown as a partition's replicas: leader first, then
// the next ones, as many as the replication factor and the cluster have.
func replicas(leader int32, factor int16, brokers int32) []int32 {
	out := make([]int32, min(int32(factor), brokers))
	for i := range out {
		out[i] = (leader-1+int32(i))%brokers + 1
	}
	return out
}
