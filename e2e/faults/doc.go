// Package faults breaks what is behind a front end, while clients go on: the
// handlers and the NATS servers are real processes that are killed, stopped and
// cut off at random moments, or handlers of the test's own that misbehave. No
// client may notice more than time. The table of docs/request-channel.md ("What
// becomes of a request") names these tests.
package faults
