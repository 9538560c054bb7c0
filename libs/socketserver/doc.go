// Package socketserver is the server side of the reactor: an Acceptor per listener, Processors that own the connections
// from accept to close, and the interface of the request channel that takes their requests.
//
// It cuts frames and writes answers through package network, reads request headers with package protocol, and knows
// nothing of what answers: a RequestChannel takes requests on the processor's loop, and answers come back through
// Processor.Deliver from any goroutine. Its counterpart in Kafka is SocketServer.scala with its Acceptor and Processor
// (rows A to E of the network reference).
package socketserver
