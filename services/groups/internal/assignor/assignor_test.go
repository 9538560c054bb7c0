package assignor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func topic(n int) TopicID { return TopicID{15: byte(n)} }

// world is a random group over time.
type world struct {
	*rand.Rand
	spec Spec
	next int
	same bool // all read the same topics
}

func newWorld(seed uint64, same bool) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 0)), same: same}
	w.spec.Partitions = make(map[TopicID]int32)
	for n := range 1 + w.IntN(6) {
		w.spec.Partitions[topic(n)] = int32(1 + w.IntN(12))
	}
	return w
}

func (w *world) topics() (out []TopicID) {
	for t := range w.spec.Partitions {
		if w.same || w.IntN(2) == 0 {
			out = append(out, t)
		}
	}
	return out
}

// change lets members come and go, topics grow, come and go.
func (w *world) change() {
	switch n := w.IntN(10); {
	case n < 4 || len(w.spec.Members) == 0:
		m := Member{ID: fmt.Sprintf("m%03d", w.IntN(1000)*1000+w.next), Topics: w.topics()}
		if w.next++; w.IntN(3) == 0 {
			m.InstanceID = fmt.Sprint("i", w.next)
		}
		w.spec.Members = append(w.spec.Members, m)
	case n < 7:
		i := w.IntN(len(w.spec.Members))
		w.spec.Members = slices.Delete(w.spec.Members, i, i+1)
	case n == 7:
		for t := range w.spec.Partitions {
			w.spec.Partitions[t] += int32(w.IntN(3))
		}
	case n == 8:
		w.next++
		w.spec.Partitions[topic(w.next)] = int32(1 + w.IntN(8))
		w.resubscribe()
	default:
		for t := range w.spec.Partitions {
			if len(w.spec.Partitions) > 1 {
				delete(w.spec.Partitions, t)
			}
			break
		}
		w.resubscribe()
	}
}

func (w *world) resubscribe() {
	for i := range w.spec.Members {
		w.spec.Members[i].Topics = w.topics()
	}
}

// complete: every partition that somebody reads is with exactly one reader.
func complete(s Spec, got []Assignment) error {
	owner := make(map[Partition]int)
	for i, a := range got {
		if !slices.IsSortedFunc(a, compare) {
			return fmt.Errorf("member %d: not in order: %v", i, a)
		}
		for _, p := range a {
			if _, twice := owner[p]; twice {
				return fmt.Errorf("%v is assigned twice", p)
			}
			if owner[p] = i; !slices.Contains(s.Members[i].Topics, p.Topic) || p.Index < 0 || p.Index >= s.Partitions[p.Topic] {
				return fmt.Errorf("member %d got %v", i, p)
			}
		}
	}
	want := 0
	for t := range s.readers() {
		want += int(s.Partitions[t])
	}
	if len(owner) != want {
		return fmt.Errorf("%d partitions are assigned of %d", len(owner), want)
	}
	return nil
}

// balanced: no partition could go to a reader that has two fewer.
func balanced(s Spec, got []Assignment) error {
	readers := s.readers()
	for i, a := range got {
		for _, p := range a {
			for _, r := range readers[p.Topic] {
				if len(got[r])+1 < len(a) {
					return fmt.Errorf("member %d has %d, member %d has %d and could have %v", i, len(a), r, len(got[r]), p)
				}
			}
		}
	}
	return nil
}

// moves counts the partitions that somebody had who stayed and may still have
// them, and that are elsewhere now.
func moves(s Spec, got []Assignment) (n int) {
	for i := range s.Members {
		for _, p := range s.Members[i].Before {
			if slices.Contains(s.Members[i].Topics, p.Topic) && p.Index < s.Partitions[p.Topic] && !got[i].Has(p) {
				n++
			}
		}
	}
	return n
}

// fewestMoves is the bound when all read the same: what members have beyond an
// equal share, the larger shares going to those who have more already.
func fewestMoves(s Spec) (n int) {
	total := 0
	for t := range s.readers() {
		total += int(s.Partitions[t])
	}
	var had []int
	for i := range s.Members {
		k := 0
		for _, p := range s.Members[i].Before {
			if p.Index < s.Partitions[p.Topic] {
				k++
			}
		}
		had = append(had, k)
	}
	slices.SortFunc(had, func(a, b int) int { return b - a })
	for i, k := range had {
		share := total / len(had)
		if i < total%len(had) {
			share++
		}
		n += max(k-share, 0)
	}
	return n
}

func TestUniformProperties(t *testing.T) {
	for seed := range uint64(400) {
		w := newWorld(seed, seed%2 == 0)
		for step := range 25 {
			w.change()
			if len(w.spec.Members) == 0 {
				continue
			}
			got := Uniform(w.spec)
			for _, err := range []error{complete(w.spec, got), balanced(w.spec, got)} {
				if err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
			}
			if n := moves(w.spec, got); w.same && n != fewestMoves(w.spec) {
				t.Fatalf("seed %d, step %d: %d partitions moved, %d had to", seed, step, n, fewestMoves(w.spec))
			}
			for i := range got {
				w.spec.Members[i].Before = got[i]
			}
			for i, again := range Uniform(w.spec) {
				if !again.Equal(got[i]) {
					t.Fatalf("seed %d, step %d: nothing has changed and member %d has %v after %v", seed, step, i, again, got[i])
				}
			}
		}
	}
}

func TestRangeProperties(t *testing.T) {
	for seed := range uint64(200) {
		w := newWorld(seed, seed%2 == 0)
		for step := range 25 {
			w.change()
			if len(w.spec.Members) == 0 {
				continue
			}
			got := Range(w.spec)
			if err := complete(w.spec, got); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			for topic, readers := range w.spec.readers() {
				least, most := int32(1<<30), int32(0)
				for _, r := range readers {
					var mine []int32
					got[r].Topics(func(id TopicID, partitions []int32) {
						if id == topic {
							mine = partitions
						}
					})
					least, most = min(least, int32(len(mine))), max(most, int32(len(mine)))
					if len(mine) > 0 && mine[len(mine)-1]-mine[0] != int32(len(mine)-1) {
						t.Fatalf("seed %d, step %d: no range: %v", seed, step, mine)
					}
				}
				if most-least > 1 {
					t.Fatalf("seed %d, step %d: shares from %d to %d", seed, step, least, most)
				}
			}
		}
	}
}

// What two members claim, one keeps.
func TestUniformGivesNothingTwice(t *testing.T) {
	all := Of(Partition{topic(1), 0}, Partition{topic(1), 1})
	s := Spec{Partitions: map[TopicID]int32{topic(1): 2}}
	for _, id := range []string{"a", "b"} {
		s.Members = append(s.Members, Member{ID: id, Topics: []TopicID{topic(1)}, Before: all})
	}
	if err := complete(s, Uniform(s)); err != nil {
		t.Error(err)
	}
}

// Topics with the same readers and numbers of partitions are divided alike.
func TestRangeCopartitions(t *testing.T) {
	s := Spec{Partitions: map[TopicID]int32{topic(1): 5, topic(2): 5}}
	for _, id := range []string{"c", "a", "b"} {
		s.Members = append(s.Members, Member{ID: id, Topics: []TopicID{topic(1), topic(2)}})
	}
	s.Members[2].InstanceID = "z" // b is static and so comes first
	got := Range(s)
	for i, want := range map[int]string{2: "[0 1]", 1: "[2 3]", 0: "[4]"} {
		got[i].Topics(func(id TopicID, partitions []int32) {
			if fmt.Sprint(partitions) != want {
				t.Errorf("%s has %v of topic %v, want %s", s.Members[i].ID, partitions, id, want)
			}
		})
	}
}

func TestSets(t *testing.T) {
	p := func(indexes ...int32) (out Assignment) {
		for _, i := range indexes {
			out = append(out, Partition{topic(1), i})
		}
		return Of(out...)
	}
	a, b := p(3, 1, 2, 1), p(2, 4)
	for what, c := range map[string]struct{ got, want Assignment }{
		"of": {a, p(1, 2, 3)}, "and": {a.And(b), p(2)}, "minus": {a.Minus(b), p(1, 3)}, "plus": {a.Plus(b), p(1, 2, 3, 4)}, "none": {a.And(nil), nil},
	} {
		if !c.got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
}

func BenchmarkUniform(b *testing.B) {
	s := Spec{Partitions: map[TopicID]int32{topic(1): 10000}}
	for i := range 500 {
		s.Members = append(s.Members, Member{ID: fmt.Sprint(i), Topics: []TopicID{topic(1)}})
	}
	for i, a := range Uniform(s) {
		s.Members[i].Before = a
	}
	s.Members = append(s.Members, Member{ID: "new", Topics: []TopicID{topic(1)}})
	for b.Loop() {
		Uniform(s)
	}
}
