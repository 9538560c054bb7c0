// Package epoll is the wait of a reactor: one epoll instance with an eventfd that other goroutines wake it by. It knows
// descriptors and 64-bit tokens, nothing of connections; package network builds its Selector on it. Its counterpart in
// Kafka is java.nio's Selector (rows F10, F15). Linux only.
package epoll
