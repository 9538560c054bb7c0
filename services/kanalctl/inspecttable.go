package kanalctl

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (l *FrontEnds) text() string {
	return listing(l.Cluster, count(len(l.FrontEnds), "front end"), frontEndRows(l.FrontEnds))
}

func (l *Handlers) text() string {
	rows := [][]string{{"SERVICE", "HANDLER", "STATE", "WINDOW", "OUTSTANDING", "PARKED", "OLDEST", "RELEASE"}}
	for _, h := range l.Handlers {
		oldest := ""
		if h.Parked > 0 {
			oldest = age(h.OldestParkedSeconds)
		}
		rows = append(rows, []string{h.Service, h.ID, h.State, strconv.Itoa(h.Window), strconv.Itoa(h.Outstanding), strconv.Itoa(h.Parked), oldest, h.Release})
	}
	parts := []string{listing(l.Cluster, count(len(l.Handlers), "handler"), rows)}
	if waiting := l.waitingRows(); len(waiting) > 1 {
		parts = append(parts, columns(waiting))
	}
	return strings.Join(parts, "\n")
}

// waitingRows tell what waits for windows; mostly nothing does.
func (l *Handlers) waitingRows() [][]string {
	rows := [][]string{{"FRONT END", "SERVICE", "QUEUED"}}
	for _, f := range l.Queued {
		for _, service := range slices.Sorted(maps.Keys(f.Queued)) {
			if n := f.Queued[service]; n > 0 {
				rows = append(rows, []string{f.ID, service, strconv.FormatInt(n, 10)})
			}
		}
	}
	return rows
}

func (l *Connections) text() string {
	rows := [][]string{{"CONNECTION", "LISTENER", "PRINCIPAL", "CLIENT", "SOFTWARE", "STATE", "AGE", "REQUESTS", "IN", "OUT"}}
	more := ""
	for _, f := range l.FrontEnds {
		for _, c := range f.Connections {
			rows = append(rows, []string{c.ID, c.Listener, c.Principal, c.Address, strings.TrimSpace(c.Software + " " + c.SoftwareVersion), c.State,
				age(c.AgeSeconds), strconv.FormatUint(c.Requests, 10), size(c.ReceivedBytes), size(c.SentBytes)})
		}
		if f.Next != "" {
			more = " and more (limit=N shows up to 500 of each front end)"
		}
	}
	return listing(l.Cluster, count(len(rows)-1, "connection")+more, rows)
}

func (l *Requests) text() string {
	rows := [][]string{{"API", "AGE", "WHERE", "FOR", "SERVICE", "HANDLER", "CLIENT", "PRINCIPAL", "CONNECTION"}}
	for _, f := range l.FrontEnds {
		for _, r := range f.InFlight {
			in := ""
			if r.WhereSeconds > 0 {
				in = age(r.WhereSeconds)
			}
			rows = append(rows, []string{fmt.Sprintf("%s %d", r.API, r.Version), age(r.AgeSeconds), r.Where, in, r.Service, r.Handler, r.ClientID, r.Principal, r.Connection})
		}
	}
	return listing(l.Cluster, count(len(rows)-1, "request")+" in flight", rows)
}

// listing is a heading and, where there are any, rows below their own.
func listing(cluster, what string, rows [][]string) string {
	heading := fmt.Sprintf("cluster %s: %s\n", cluster, what)
	if len(rows) == 1 {
		return heading
	}
	return heading + "\n" + columns(rows)
}

func (d *Done) text() string { return d.Done.Done + "\n" }

// age is a duration for people: three digits are enough.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	units := []string{"B", "kB", "MB", "GB"}
	n := float64(bytes)
	for len(units) > 1 && n >= 1000 {
		n, units = n/1000, units[1:]
	}
	if n >= 100 || units[0] == "B" {
		return fmt.Sprintf("%.0f%s", n, units[0])
	}
	return fmt.Sprintf("%.1f%s", n, units[0])
}
