//go:build !future

// Package future is how a test build pretends to be of a later release. With the
// build tag future it adds to what is sent and stored all that a later release
// may add, so that tests can roll from this release to that one, and back. In
// every other build everything here is empty.
package future

// Version is added to the versions of what is only sent.
const Version = 0

// Bytes follow the known fields of binary headers.
const Bytes = ""

// Reserved is in the places of a log's records that are 0 today.
const Reserved = 0

// Fields are embedded in JSON that is sent or stored.
type Fields struct{}
