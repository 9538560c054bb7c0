package requestchannel

import "sync"

// inbox is the door to the dispatcher: append under the lock, wake once.
type inbox struct {
	mu           sync.Mutex
	submitted    []*Pending
	arrived      []arrival
	disconnected []disconnect
	deaf         []string // subjects that NATS says nobody listens on
	addresses    map[string]Address
	config       *FrontEndConfig
	endPolls     bool
	asked        []func() // for the dispatcher to run
	viewChanged  bool
	reconnected  bool
	awake        bool

	wakeup chan struct{}
}

type arrival struct {
	Response
	at int64
}

type disconnect struct {
	connKey
	half bool
}

// connKey names a connection: tokens are a processor's own.
type connKey struct {
	processor uint16
	token     uint64
}

func (in *inbox) put(f func(*inbox)) {
	in.mu.Lock()
	f(in)
	wake := !in.awake
	in.awake = true
	in.mu.Unlock()
	if wake {
		select {
		case in.wakeup <- struct{}{}:
		default:
		}
	}
}

// take swaps the contents with what the dispatcher has emptied.
func (in *inbox) take(into *inbox) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.submitted, into.submitted = into.submitted[:0], in.submitted
	in.arrived, into.arrived = into.arrived[:0], in.arrived
	in.disconnected, into.disconnected = into.disconnected[:0], in.disconnected
	in.deaf, into.deaf = into.deaf[:0], in.deaf
	into.addresses, in.addresses = in.addresses, nil
	into.config, in.config = in.config, nil
	into.endPolls, in.endPolls = in.endPolls, false
	into.asked, in.asked = in.asked, nil
	into.viewChanged, in.viewChanged = in.viewChanged, false
	into.reconnected, in.reconnected = in.reconnected, false
	in.awake = false
}
