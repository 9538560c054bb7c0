// Package loadgen drives load through the client side of libs/network, the same
// Selector that servers use, and reports throughput and latency. It is a closed
// loop: every connection keeps a window of requests outstanding and sends the
// next when an answer is there, so the load follows what the server can do.
//
// A worker is one goroutine with a selector and its share of the connections; a
// mode is an exchange per connection, which makes requests and judges answers.
package loadgen
