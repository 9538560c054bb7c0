package peer

import "net"

// std is a goroutine per connection.
func std() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	return l.Addr().String(), nil
}

// firstBuffer is what a connection reads into; a larger frame makes it grow.
const firstBuffer = 4 << 10

func echo(c net.Conn) {
	defer c.Close()
	for buf, have := make([]byte, firstBuffer), 0; ; {
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		done := whole(buf[:have])
		if done == 0 {
			continue
		}
		if _, err := c.Write(buf[:done]); err != nil {
			return
		}
		have = copy(buf, buf[done:have])
	}
}
