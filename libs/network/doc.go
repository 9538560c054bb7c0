// Package network is the non-blocking half of a connection: channels with their mute state machine, frames cut out of
// arriving bytes, answers put onto sockets, and the Selector that does this for all connections of one goroutine.
//
// It knows no acceptors and no request channel (package socketserver) and nothing of what the frames hold. A Selector
// serves both directions: accepted sockets by Register, outgoing ones by Connect. Its counterparts in Kafka are
// org.apache.kafka.common.network.Selector, KafkaChannel, NetworkReceive and NetworkSend (rows F, G, I, J).
package network
