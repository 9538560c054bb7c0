package socketserver

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// population counts open connections by a pair of names that clients bring, such as software and version. At most
// mostGroups pairs are told apart at a time, as in Kafka (KIP-511), and the rest are others; a pair without connections
// makes room.
type population struct {
	desc   *prometheus.Desc
	others *group

	mu     sync.Mutex
	groups map[[2]string]*group // guarded by mu
}

// group has the connections of one pair.
type group struct {
	names [2]string
	size  int // guarded by the population's mu
}

// member is one connection's place in a population; a nil one does nothing.
type member struct {
	in *population
	of *group
}

const (
	mostGroups = 100
	// longestName bounds what a client can put into a label, in bytes.
	longestName = 64
	otherName   = "other"
)

func newPopulation(name, help string, labels ...string) *population {
	return &population{
		desc: prometheus.NewDesc(name, help, labels, nil), others: &group{names: [2]string{otherName, otherName}},
		groups: map[[2]string]*group{},
	}
}

// join counts a connection in.
func (p *population) join(a, b string) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &member{p, p.group([2]string{a, b})}
	m.of.size++
	return m
}

func (p *population) group(names [2]string) *group {
	g := p.groups[names]
	if g != nil {
		return g
	}
	if names == p.others.names || len(p.groups) >= mostGroups || len(names[0]) > longestName || len(names[1]) > longestName {
		return p.others
	}
	g = &group{names: names}
	p.groups[names] = g
	return g
}

// leave counts a connection out, once.
func (m *member) leave() {
	if m == nil {
		return
	}
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	if m.of.size--; m.of.size == 0 {
		delete(m.in.groups, m.of.names) // the others are not in there
	}
}

// move gives the connection another pair.
func (m *member) move(a, b string) *member {
	if m == nil || m.of.names == [2]string{a, b} {
		return m
	}
	m.leave()
	return m.in.join(a, b)
}

// Describe is prometheus.Collector's.
func (p *population) Describe(descs chan<- *prometheus.Desc) { descs <- p.desc }

// Collect is prometheus.Collector's.
func (p *population) Collect(metrics chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.groups {
		metrics <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, float64(g.size), g.names[:]...)
	}
	if p.others.size > 0 {
		metrics <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, float64(p.others.size), p.others.names[:]...)
	}
}
