package kanalctl

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"kanal/libs/protocol"
	"kanal/libs/requestchannel"
)

func (st *Status) text() string {
	parts := []string{st.heading()}
	if len(st.FrontEnds) > 0 {
		parts = append(parts, columns(frontEndRows(st.FrontEnds)))
	}
	if len(st.Handlers) > 0 {
		parts = append(parts, columns(st.handlerRows()), columns(st.apiRows()))
	}
	return strings.Join(parts, "\n")
}

func (st *Status) heading() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s", st.Cluster)
	if st.ClusterID != "" {
		fmt.Fprintf(&b, ", id %s, brokers %s", st.ClusterID, span(st.Brokers))
	}
	fmt.Fprintf(&b, ": %s, %s\n", count(len(st.FrontEnds), "front end"), count(len(st.Handlers), "handler"))
	if st.NATSAway {
		b.WriteString("NATS cannot be reached; this is what was seen last\n")
	}
	return b.String()
}

func frontEndRows(all []requestchannel.FrontEnd) [][]string {
	rows := [][]string{{"FRONT END", "STATE", "RELEASE", "ADDRESSES"}}
	for _, f := range all {
		rows = append(rows, []string{f.ID, f.State, f.Release, addresses(f.Addresses)})
	}
	return rows
}

func (st *Status) handlerRows() [][]string {
	rows := [][]string{{"SERVICE", "HANDLER", "STATE", "WINDOW", "SHARE", "AFFINITY", "HOLDS", "RELEASE"}}
	for _, h := range st.Handlers {
		rows = append(rows, []string{h.Service, h.ID, h.State, strconv.Itoa(h.Window), strconv.Itoa(h.Share),
			string(h.Affinity), st.held(&h), h.Release})
	}
	return rows
}

// held says which brokers an instance has, of how many.
func (st *Status) held(h *Handler) string {
	if h.Affinity != requestchannel.AffinityByBroker || st.Brokers == 0 {
		return ""
	}
	of := fmt.Sprintf("%d of %d", len(h.Holds), st.Brokers)
	if len(h.Holds) == 0 {
		return of
	}
	return of + ": " + ranges(h.Holds)
}

// apiRows tell what each service answers: one row where all its instances agree,
// more while releases roll.
func (st *Status) apiRows() [][]string {
	rows := [][]string{{"SERVICE", "INSTANCES", "APIS"}}
	total := map[string]int{}
	for _, h := range st.Handlers {
		total[h.Service]++
	}
	place := map[[2]string]int{} // service and apis: the row
	agree := map[int]int{}
	for _, h := range st.Handlers {
		key := [2]string{h.Service, apis(h.APIs)}
		row, ok := place[key]
		if !ok {
			row = len(rows)
			place[key] = row
			rows = append(rows, []string{h.Service, "", key[1]})
		}
		agree[row]++
		rows[row][1] = fmt.Sprintf("%d of %d", agree[row], total[h.Service])
	}
	return rows
}

// apis lists apis by key: Produce 0-13, Fetch 4-18. A service without any takes
// whole frames.
func apis(r protocol.Ranges) string {
	list := make([]string, 0, len(r))
	for _, key := range slices.Sorted(maps.Keys(r)) {
		list = append(list, fmt.Sprintf("%s %d-%d", key, r[key].Min, r[key].Max))
	}
	if len(list) == 0 {
		return "frames"
	}
	return strings.Join(list, ", ")
}

// addresses lists listeners: PLAINTEXT localhost:9092, with the brokers' ports.
func addresses(m map[string]requestchannel.Address) string {
	list := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		a := m[name]
		text := name + " " + net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
		if a.Brokers > 1 {
			text += fmt.Sprintf(" (brokers at %d-%d)", a.PortOf(1), a.PortOf(int32(a.Brokers)))
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// ranges shortens ascending numbers: 1-3,5.
func ranges(numbers []int32) string {
	var list []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i == j {
			list = append(list, strconv.Itoa(int(numbers[i])))
		} else {
			list = append(list, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return strings.Join(list, ",")
}

// span names the ids of n brokers.
func span(n int32) string {
	if n == 1 {
		return "1"
	}
	return fmt.Sprintf("1-%d", n)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
