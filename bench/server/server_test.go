package server

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// Every peer sends frames back whole and in order, however they are cut.
func TestPeersEcho(t *testing.T) {
	for _, name := range []string{"kanal", "gnet", "netpoll", "std"} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(name)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Stop()
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			large := append([]byte{0, 0, 0x40, 0}, make([]byte, 0x4000)...)
			sent := append([]byte{0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 1, 'd'}, large...)
			for _, cut := range [][]byte{sent[:2], sent[2:9], sent[9:]} {
				if _, err := c.Write(cut); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			if string(got) != string(sent) {
				t.Error("the answer differs")
			}
			st, err := s.Status()
			if err != nil || st.Resident == 0 || st.Heap == 0 || st.Descriptors == 0 || st.Goroutines == 0 {
				t.Errorf("status %+v, %v", st, err)
			}
			if name == "kanal" && st.Connections != 1 {
				t.Errorf("%d connections", st.Connections)
			}
		})
	}
	if _, err := Start("nobody"); err == nil {
		t.Error("a peer that does not exist was started")
	}
}
