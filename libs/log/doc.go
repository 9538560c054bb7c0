// Package log keeps a log in one JetStream stream: messages that follow each other by a chain of identities, written on the
// condition that nothing came between, and checkpoints that let a reader start near the end. It knows nothing of Kafka; what the
// messages say is the business of a [Machine], of which [Table] (coordination logs: keys and values) is one, and the topic logs
// of the records service another. Its Kafka counterpart is UnifiedLog together with ReplicaManager's idea of a leader, with one
// difference: there is no elected leader here. Whoever believes that he may write does, and the stream decides.
// The rules, the byte layout and the reasons are in docs/log.md.
package log
