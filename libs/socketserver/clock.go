package socketserver

import "time"

var started = time.Now()

// Now is the monotonic time in nanoseconds since the process started; it only compares with itself.
func Now() int64 { return int64(time.Since(started)) }
