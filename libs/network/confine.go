package network

// Confine holds a channel shorter until Release, because its peer is not yet known: frames of at most limit bytes,
// an invalid size is told as a Receive instead of closing the channel, and receives do not end the FirstReceive
// deadline.
func (s *Selector) Confine(c *Channel, limit int) { c.limit, c.confined = min(limit, s.limit), true }

// Release ends Confine. The channel counts as one that had its first receive.
func (s *Selector) Release(c *Channel) { c.limit, c.confined, c.served = s.limit, false, true }
