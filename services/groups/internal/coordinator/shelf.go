package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"kanal/libs/cluster"
)

// ErrLoading says that a log is not open yet (COORDINATOR_LOAD_IN_PROGRESS).
var ErrLoading = errors.New("coordinator: log is being opened")

// ElsewhereError says that another instance holds the log.
type ElsewhereError struct{ Instance string }

// Error names the instance.
func (e *ElsewhereError) Error() string { return "coordinator: held by " + e.Instance }

// Cluster is what the shelf asks the registry.
type Cluster interface {
	Info() cluster.Info
	CoordinationLeader(index int32) int32
}

// ShelfConfig configures a Shelf.
type ShelfConfig struct {
	Cluster Cluster
	// Holder is the instance that holds a broker, and whether that is known.
	Holder func(broker int32) (instance string, ok bool)
	// Self is this instance.
	Self string
	// Open opens a log's coordinator; it is tried again when it fails.
	Open    func(ctx context.Context, index int32) (*Coordinator, error)
	Metrics *Metrics
	Log     *slog.Logger
}

// Shelf keeps the coordinators of the logs that this instance holds: opened
// when it becomes their holder, closed when it no longer is. A log that another
// holds is opened all the same when a request must be served, and closed soon
// after.
type Shelf struct {
	cfg     ShelfConfig
	changed chan struct{} // has one element when holders may have changed

	mu     sync.Mutex
	slots  map[int32]*slot
	closed bool
	ctx    context.Context // of opening
	cancel context.CancelFunc
	opens  sync.WaitGroup
}

// slot is one log.
type slot struct {
	ready chan struct{} // closed when c or err is set
	c     *Coordinator
	err   error
	must  time.Time // last served although another instance holds it; guarded by the shelf's mu
}

// NewShelf makes an empty shelf. Run fills it.
func NewShelf(cfg ShelfConfig) *Shelf {
	s := &Shelf{cfg: cfg, changed: make(chan struct{}, 1), slots: make(map[int32]*slot)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Changed tells that holders may have changed. It does not block.
func (s *Shelf) Changed() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run opens and closes logs until ctx ends, then closes all.
func (s *Shelf) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s.reconcile()
		select {
		case <-s.changed:
		case <-tick.C:
		case <-ctx.Done():
			s.close()
			return
		}
	}
}

// Group finds the coordinator of a group, or tells who has it. With must it
// serves whatever the view says.
func (s *Shelf) Group(ctx context.Context, groupID string, must bool) (*Coordinator, error) {
	return s.Log(ctx, cluster.GroupLog(groupID, s.cfg.Cluster.Info().CoordinationLogs), must)
}

// Log finds the coordinator of a log; see Group.
func (s *Shelf) Log(ctx context.Context, index int32, must bool) (*Coordinator, error) {
	instance, here := s.held(index)
	if !here && !must {
		return nil, &ElsewhereError{instance}
	}
	sl := s.slot(index, here)
	if sl == nil {
		return nil, ErrLoading
	}
	select {
	case <-sl.ready:
		return sl.c, sl.err
	case <-ctx.Done():
		return nil, ErrLoading
	case <-time.After(openPatience):
		return nil, ErrLoading
	}
}

// openPatience is how long a request waits for its log to open.
const openPatience = 5 * time.Second

// held tells who holds a log, and whether that is this instance. Until anybody
// is known to, everybody may.
func (s *Shelf) held(index int32) (instance string, here bool) {
	instance, ok := s.cfg.Holder(s.cfg.Cluster.CoordinationLeader(index))
	return instance, !ok || instance == s.cfg.Self
}

// slot finds the slot of a log; the first to come opens it.
func (s *Shelf) slot(index int32, here bool) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	sl := s.slots[index]
	if sl == nil {
		sl = &slot{ready: make(chan struct{})}
		s.slots[index] = sl
		s.opens.Go(func() { s.open(index, sl) })
	}
	if !here {
		sl.must = time.Now()
	}
	return sl
}

func (s *Shelf) open(index int32, sl *slot) {
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	sl.c, sl.err = s.cfg.Open(ctx, index)
	if sl.err != nil {
		if s.ctx.Err() == nil {
			s.cfg.Metrics.Failed()
			s.cfg.Log.Warn("coordination log was not opened; trying again", "log", index, "err", sl.err)
		}
		sl.err = errors.Join(ErrLoading, sl.err)
	} else {
		s.cfg.Metrics.Opened()
	}
	close(sl.ready)
}

// lingering is how long a log that another instance holds stays open after a
// request that had to be served here.
const lingering = 2 * time.Second

// reconcile opens what is held here, closes what is not, and forgets what
// failed.
func (s *Shelf) reconcile() {
	for index := range s.cfg.Cluster.Info().CoordinationLogs {
		_, here := s.held(index)
		if s.discardBroken(index); here {
			s.slot(index, true)
			continue
		}
		s.discard(index, func(sl *slot) bool { return time.Since(sl.must) > lingering })
	}
}

// discardBroken forgets a log that could not be opened or has ended by itself.
func (s *Shelf) discardBroken(index int32) {
	s.discard(index, func(sl *slot) bool {
		if sl.err != nil {
			return true
		}
		select {
		case <-sl.c.Done():
			s.cfg.Metrics.Failed()
			s.cfg.Log.Error("coordination log ended; opening it again", "log", index)
			return true
		default:
			return false
		}
	})
}

// discard takes an opened log off the shelf if it is to go, and closes it.
func (s *Shelf) discard(index int32, goes func(*slot) bool) {
	s.mu.Lock()
	sl := s.slots[index]
	if sl == nil || !sl.isReady() || !goes(sl) {
		s.mu.Unlock()
		return
	}
	delete(s.slots, index)
	s.mu.Unlock()
	if sl.c != nil {
		sl.c.Close()
	}
}

func (sl *slot) isReady() bool {
	select {
	case <-sl.ready:
		return true
	default:
		return false
	}
}

func (s *Shelf) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.opens.Wait()
	for index := range s.slots { // nobody adds any more
		s.discard(index, func(*slot) bool { return true })
	}
}
