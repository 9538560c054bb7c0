package requestchannel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// One client has at most three quarters of a queue to itself, however much it sends, and the next one finds room.
func TestNoClientFillsAQueue(t *testing.T) {
	for _, most := range []int64{1, 2, 10, 500} {
		w := &waiting{most: most, mostBytes: 1 << 30}
		var first, second int64
		for range 2 * most {
			if w.enter(1, 10) {
				first++
			}
		}
		for range most {
			if w.enter(2, 10) {
				second++
			}
		}
		if limit := 1 + most*3/4; first > limit || first < most*3/5 {
			t.Errorf("one client has %d of %d places", first, most)
		}
		if most >= 10 && second == 0 {
			t.Errorf("no room for a second client in a queue of %d", most)
		}
		if n, bytes := split(w.all.Load()); n != first+second || bytes != 10*n || n > most {
			t.Errorf("%d requests of %d bytes, %d are there", n, bytes, first+second)
		}
	}
}

// The same for bytes: large frames of one client leave room for small ones of another, and one that is larger than all
// the room still comes in.
func TestNoClientFillsAQueueWithBytes(t *testing.T) {
	w := &waiting{most: 500, mostBytes: 1 << 20}
	if !w.enter(1, 2<<20) {
		t.Fatal("a request larger than the room never comes in")
	}
	w.leave(1, 2<<20)
	n := 0
	for w.enter(1, 10<<10) {
		n++
	}
	if n < 70 || n > 80 {
		t.Errorf("one client has %d KiB of 1024", 10*n)
	}
	for range 2 {
		if !w.enter(2, 10<<10) {
			t.Error("no room for a second client")
		}
	}
}

// Clients that all want more than there is come to equal shares, and what is counted is what is there.
func TestQueueSharesBecomeEqual(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	w := &waiting{most: 500, mostBytes: 1 << 40}
	var in []uint32
	here := map[uint32]int{}
	for range 5000 {
		for range 30 { // client 0 offers most
			if client := uint32(max(0, chance.IntN(9)-4)); w.enter(client, 1) {
				in = append(in, client)
				here[client]++
			}
		}
		for range 5 {
			at := chance.IntN(len(in))
			w.leave(in[at], 1)
			here[in[at]]--
			in = slices.Delete(in, at, at+1)
		}
	}
	for client, n := range here {
		if got, _ := split(w.client[client].Load()); got != int64(n) || n < 80 || n > 105 {
			t.Errorf("client %d has %d places, counted %d", client, n, got)
		}
	}
}

// A queue against a dumb model: each client's requests in their order, clients in turn.
func TestQueueAgainstModel(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	q := new(fifo)
	model := map[uint32][]*Pending{}
	waited := map[uint32]int{} // pops since a client's turn
	count := 0
	for range 50000 {
		switch n := chance.IntN(10); {
		case n < 5:
			p := &Pending{client: uint32(chance.IntN(7))}
			q.push(p)
			model[p.client] = append(model[p.client], p)
			count++
		case n == 5:
			p := &Pending{client: uint32(chance.IntN(7))}
			q.pushFront(p)
			model[p.client] = slices.Insert(model[p.client], 0, p)
			if count++; q.peek() != p {
				t.Fatal("what was put first is not next")
			}
			clear(waited) // it pushed in
		case n == 6 && count > 0:
			var all []*Pending
			q.each(func(p *Pending) { all = append(all, p) })
			p := all[chance.IntN(len(all))]
			q.remove(p)
			mine := model[p.client]
			model[p.client] = slices.DeleteFunc(mine, func(o *Pending) bool { return o == p })
			count--
		case count > 0:
			p := q.pop()
			if mine := model[p.client]; mine[0] != p {
				t.Fatal("a client's requests changed their order")
			}
			model[p.client] = model[p.client][1:]
			count--
			for client := range model {
				waited[client]++
				if client == p.client || len(model[client]) == 0 {
					waited[client] = 0
				}
				if waited[client] > 7 {
					t.Fatalf("client %d waits while others had %d turns", client, waited[client])
				}
			}
		}
		if q.len() != count {
			t.Fatalf("%d in the queue, want %d", q.len(), count)
		}
	}
}

// Windows: privileged requests always find their part, others never use it, and nobody has more than the share but for
// the one place that a share of one cannot give.
func TestWindowIsKeptForPrivilegedRequests(t *testing.T) {
	for share := 1; share <= 64; share++ {
		i := &instance{state: StateReady, share: share, kept: keptOf(share)}
		for i.open(false) {
			i.took(&Pending{})
		}
		if i.outstanding < 1 || !i.open(true) {
			t.Fatalf("share %d: clients have %d, open for privileged: %t", share, i.outstanding, i.open(true))
		}
		p := &Pending{Request: Request{Privileged: true}}
		for i.open(true) {
			i.took(p)
		}
		if i.outstanding > max(share, 2) || i.open(false) {
			t.Fatalf("share %d: %d outstanding", share, i.outstanding)
		}
		for i.privileged > 0 {
			i.gave(p)
		}
		if i.open(false) {
			t.Fatalf("share %d: clients use what is kept", share)
		}
	}
}
