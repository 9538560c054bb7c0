package socketserver

import "github.com/prometheus/client_golang/prometheus"

// described is the half of a prometheus.Collector that is the same for all.
type described []*prometheus.Desc

// Describe is prometheus.Collector's.
func (d described) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range d {
		descs <- desc
	}
}
