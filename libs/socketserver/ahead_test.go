package socketserver_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kanal/libs/network"
	"kanal/libs/socketserver"
)

func startAhead(t testing.TB, most int) *fixture {
	return start(t, socketserver.ListenerConfig{MaxInFlight: most})
}

// Several requests are under way, never more than may be, and answers leave in the order of the requests.
func TestReadingAhead(t *testing.T) {
	f := startAhead(t, 3)
	c := f.dial(t)
	c.send(requests(1, 6))
	first, second, third := f.next(t), f.next(t), f.next(t)
	f.none(t)
	o3, o2 := f.answer(third), f.answer(second)
	f.none(t) // nothing is written before the first
	f.answer(first).want(t, socketserver.Sent)
	o2.want(t, socketserver.Sent)
	o3.want(t, socketserver.Sent)
	for i := int32(1); i <= 3; i++ {
		c.wantAnswer(i)
	}
	for i := int32(4); i <= 6; i++ {
		f.answer(f.next(t))
		c.wantAnswer(i)
	}
}

// Whatever order handlers answer in, with and without an answer, throttled, refused for want of room: a connection sees
// the answers to its requests in their order, each once, up to the one that closes it.
func TestAnswersInOrderWhateverHappens(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { answersInOrder(t, seed) })
	}
}

func answersInOrder(t *testing.T, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 0))
	f := startAhead(t, 2+chance.IntN(6))
	const connections, each = 4, 60
	closing := int32(chance.IntN(3 * each)) // of the first connection, if it has so many
	silent := func(n int32) bool { return n%7 == 3 }
	ended := make(chan error, connections)
	for i := range int32(connections) {
		c := f.dial(t)
		go func() { c.Write(requests(1000*(i+1), 1000*(i+1)+each-1)) }()
		go func() {
			for n := range int32(each) {
				if i == 0 && n == closing {
					c.wantEnd(true)
					break
				}
				if !silent(n) {
					c.wantAnswer(1000*(i+1) + n)
				}
			}
			ended <- nil
		}()
	}
	var hand []held
	left := connections
	for deadline := time.Now().Add(patience); left > 0; {
		if chance.IntN(20) == 0 {
			f.setRoom(chance.IntN(4))
		}
		if chance.IntN(5) == 0 {
			f.setRoom(1 << 20)
			f.server.Processors()[0].Resume()
		}
		select {
		case r := <-f.requests:
			hand = append(hand, r)
		case <-ended:
			left--
		case <-time.After(time.Millisecond):
		}
		for len(hand) > 0 && chance.IntN(3) > 0 {
			at := chance.IntN(len(hand))
			r := hand[at]
			hand = append(hand[:at], hand[at+1:]...)
			response := socketserver.Response{Frame: answerFrame(r.correlation, make([]byte, chance.IntN(2000))), Completer: newOutcome()}
			if chance.IntN(10) == 0 {
				response.Throttle = time.Duration(chance.IntN(3000)) * time.Microsecond
			}
			switch n := r.correlation % 1000; {
			case r.correlation == 1000+closing:
				response.Kind = socketserver.CloseConnection
			case silent(n):
				response.Kind = socketserver.NoOp
			}
			f.respond(r, response)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections wait, %d requests in hand", left, len(hand))
		}
	}
}

// Answers that wait for their turn get their outcome when their connection closes, late ones too.
func TestAnswersInTheRingAreLostWithTheirConnection(t *testing.T) {
	f := startAhead(t, 4)
	c := f.dial(t)
	c.send(requests(1, 3))
	first, second, third := f.next(t), f.next(t), f.next(t)
	o2 := f.answer(second)
	f.none(t)
	c.reset()
	f.disconnected(t)
	o2.want(t, socketserver.ConnectionLost)
	f.answer(first).want(t, socketserver.ConnectionLost)
	f.answer(third).want(t, socketserver.ConnectionLost)
}

// Row F6, of several: a second answer to one request is a fault of ours and costs the connection.
func TestSecondAnswerOfSeveralClosesTheConnection(t *testing.T) {
	f := startAhead(t, 4)
	c := f.dial(t)
	c.send(requests(1, 2))
	f.next(t)
	second := f.next(t)
	o := f.answer(second)
	f.answer(second).want(t, socketserver.ConnectionLost)
	o.want(t, socketserver.ConnectionLost)
	c.wantEnd(false)
	f.closedFor(t, network.ReasonIllegalState, 1)
}

// A peer that only stops sending gets all its answers, then the end.
func TestHalfClosedConnectionGetsAllAnswers(t *testing.T) {
	f := startAhead(t, 4)
	c := f.dial(t)
	c.send(requests(1, 3))
	c.CloseWrite()
	first, second, third := f.next(t), f.next(t), f.next(t)
	f.disconnected(t)
	f.answer(third)
	f.answer(second)
	f.none(t)
	f.answer(first)
	for i := int32(1); i <= 3; i++ {
		c.wantAnswer(i)
	}
	c.wantEnd(false)
}

// A server that drains takes no further request, and answers those under way.
func TestDrainAnswersAllThatAreUnderWay(t *testing.T) {
	f := startAhead(t, 4)
	c := f.dial(t)
	c.send(requests(1, 2))
	first, second := f.next(t), f.next(t)
	ended := make(chan struct{})
	go func() { drain(t, f.server); close(ended) }()
	f.answer(second)
	f.none(t)
	f.answer(first)
	c.wantAnswer(1)
	c.wantAnswer(2)
	c.wantEnd(false)
	<-ended
}

// K4, of several: a connection whose requests are under way is not idle, though more may be read.
func TestReadingAheadIsNotIdle(t *testing.T) {
	f := start(t, socketserver.ListenerConfig{MaxInFlight: 4, MaxIdle: 50 * time.Millisecond})
	c := f.dial(t)
	c.send(request(1))
	r := f.next(t)
	time.Sleep(200 * time.Millisecond) // four times of what an idle one has
	f.answer(r)
	c.wantAnswer(1)
}
