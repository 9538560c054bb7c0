package socketserver

import "hash/maphash"

var clientSeed = maphash.MakeSeed()

// nobody is who has not proved who it is.
const nobody = "User:ANONYMOUS"

// clientOf is whose a request with that client id is, as a hash.
func (c *Connection) clientOf(clientID []byte) uint32 {
	if c.who == 0 {
		c.who = maphash.String(clientSeed, c.user()) | 1
	}
	return uint32((maphash.Bytes(clientSeed, clientID) ^ c.who) >> 16)
}

func (c *Connection) user() string {
	if c.Principal == nobody {
		return c.ClientAddress
	}
	return c.Principal
}
