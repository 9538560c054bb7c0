// Package requestchannel is the seam between front ends and handlers: Kafka's
// RequestChannel, spread over NATS subjects. Channel is the front end's side:
// it queues framed requests, dispatches each to one handler instance within
// that instance's window, and brings back exactly one outcome. Server is the
// handlers' side: it announces an instance, takes its requests and publishes
// its answers. Both learn of each other through announcements (View).
//
// The bytes on the wire are specified in docs/request-channel.md and held by
// test vectors in testdata; a handler can be written in any language.
package requestchannel
