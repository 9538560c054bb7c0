// Package sasl is the server's side of SASL as Kafka speaks it: frames in, answers and what follows out, the time as an
// argument. The state machine has no socket, no goroutine and no clock; its user (socketserver, through the front end)
// writes the answers, waits the delays and runs what is heavy. Mechanisms are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and
// OAUTHBEARER; their rims are a file of credentials and a set of keys that follow their sources. Its Kafka counterparts
// are SaslServerAuthenticator and the SaslServers of org.apache.kafka.common.security (rows N1 to N22).
package sasl
