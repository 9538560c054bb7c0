package suite

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kanal/e2e/process"
)

// kcat runs kcat to its end and returns what it wrote.
func kcat(t *testing.T, on target, limit time.Duration, in io.Reader, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(limited(t, limit), "kcat", append([]string{"-b", on.bootstrap}, args...)...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, tail(stderr.String()))
	}
	return out
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// line is a message as consume prints it.
type line struct {
	partition int
	offset    int64
	value     string
}

// kcatConsume reads a topic from its start to its end.
func kcatConsume(t *testing.T, on target, limit time.Duration, topic string, args ...string) []line {
	t.Helper()
	out := kcat(t, on, limit, nil, append([]string{"-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\n"}, args...)...)
	return parseLines(t, out)
}

func parseLines(t *testing.T, out []byte) (lines []line) {
	t.Helper()
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, parseLine(t, s.Text()))
	}
	return lines
}

func parseLine(t *testing.T, s string) line {
	t.Helper()
	fields := strings.SplitN(s, " ", 3)
	if len(fields) != 3 {
		t.Fatalf("kcat printed %q", s)
	}
	partition, err := strconv.Atoi(fields[0])
	offset, err2 := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || err2 != nil {
		t.Fatalf("kcat printed %q", s)
	}
	return line{partition, offset, fields[2]}
}

func kcatLists(t *testing.T, on target) {
	process.Need(t, "kcat")
	name := newTopic(t, on, 5)
	var got struct {
		Brokers []struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		} `json:"brokers"`
		Topics []struct {
			Topic      string `json:"topic"`
			Partitions []struct {
				Partition int `json:"partition"`
				Leader    int `json:"leader"`
			} `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(kcat(t, on, 20*time.Second, nil, "-L", "-J"), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Brokers) != on.brokers {
		t.Errorf("kcat sees the brokers %v, not %d of them", got.Brokers, on.brokers)
	}
	ids := map[int]bool{}
	for _, b := range got.Brokers {
		ids[b.ID] = true
		if b.ID < 1 || b.ID > on.brokers {
			t.Errorf("a broker has the id %d", b.ID)
		}
	}
	for _, topic := range got.Topics {
		if topic.Topic != name {
			continue
		}
		if len(topic.Partitions) != 5 {
			t.Errorf("%d partitions, not 5", len(topic.Partitions))
		}
		for i, p := range topic.Partitions {
			if p.Partition != i || !ids[p.Leader] {
				t.Errorf("partition %d is listed as %+v", i, p)
			}
		}
		return
	}
	t.Errorf("topic %s is not in the list", name)
}

func kcatCodecs(t *testing.T, on target) {
	process.Need(t, "kcat")
	for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(name, func(t *testing.T) {
			topic := newName(t) // kcat has it created
			var want []string
			for _, s := range numbered(0, 1000) {
				want = append(want, "a message that can be made smaller, number "+s)
			}
			kcat(t, on, 30*time.Second, strings.NewReader(strings.Join(want, "\n")+"\n"), "-P", "-t", topic, "-z", name, "-X", "linger.ms=300")
			got := kcatConsume(t, on, 30*time.Second, topic)
			requireSequence(t, got, want)
			stored := map[int]int{}
			for _, r := range consume(t, on, topic, starts(1), len(want)) {
				stored[int(r.Attrs.CompressionType())]++
			}
			// librdkafka leaves a batch as it is that gets no smaller, such as one of
			// a single message.
			if stored[codec] == 0 || stored[codec]+stored[0] < len(want) {
				t.Errorf("messages sent with codec %d (%s) are stored with %v", codec, name, stored)
			}
		})
	}
}

func kcatIdempotent(t *testing.T, on target) {
	process.Need(t, "kcat")
	topic := newTopic(t, on, 1)
	want := numbered(0, 5000)
	kcat(t, on, 30*time.Second, strings.NewReader(strings.Join(want, "\n")+"\n"),
		"-P", "-t", topic, "-X", "enable.idempotence=true", "-X", "batch.num.messages=100")
	requireSequence(t, kcatConsume(t, on, 30*time.Second, topic), want)
}

func kcatLargeMessage(t *testing.T, on target) {
	process.Need(t, "kcat")
	topic := newTopic(t, on, 1)
	want := make([]byte, 900<<10)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(want) // never fails
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	kcat(t, on, 30*time.Second, nil, "-P", "-t", topic, file)
	got := kcat(t, on, 30*time.Second, nil, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%s")
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes came back, other than the %d sent", len(got), len(want))
	}
}

func kcatManyMessages(t *testing.T, on target) {
	process.Need(t, "kcat")
	n := pick(100_000, 1_000_000)
	topic := newTopic(t, on, 4)
	in, out := io.Pipe()
	go func() {
		w := bufio.NewWriter(out)
		for i := range n {
			_, _ = fmt.Fprintln(w, i) // the pipe's reader has gone only if kcat failed, which is reported
		}
		_ = out.CloseWithError(w.Flush())
	}()
	kcat(t, on, 5*time.Minute, in, "-P", "-t", topic)
	requireComplete(t, kcatConsume(t, on, 5*time.Minute, topic), n, 4)
}

// requireComplete wants every number below n once, in rising order and at
// contiguous offsets in each partition, and every partition used.
func requireComplete(t *testing.T, got []line, n, partitions int) {
	t.Helper()
	seen := make([]bool, n)
	last, next := map[int]int{}, map[int]int64{}
	for _, l := range got {
		i, err := strconv.Atoi(l.value)
		if err != nil || i < 0 || i >= n {
			t.Fatalf("partition %d offset %d holds %q", l.partition, l.offset, l.value)
		}
		if seen[i] {
			t.Fatalf("message %d came twice, again in partition %d at offset %d", i, l.partition, l.offset)
		}
		if before, ok := last[l.partition]; ok && before > i {
			t.Fatalf("partition %d: message %d at offset %d stands behind message %d", l.partition, i, l.offset, before)
		}
		if l.offset != next[l.partition] {
			t.Fatalf("partition %d: offset %d follows %d", l.partition, l.offset, next[l.partition]-1)
		}
		seen[i], last[l.partition], next[l.partition] = true, i, l.offset+1
	}
	if len(got) != n {
		t.Fatalf("%d messages came back of %d", len(got), n)
	}
	if len(next) != partitions {
		t.Fatalf("messages are in %d partitions of %d", len(next), partitions)
	}
}

// requireSequence wants exactly these values, from offset 0 of partition 0 on.
func requireSequence(t *testing.T, got []line, want []string) {
	t.Helper()
	for i, l := range got {
		if i >= len(want) || l != (line{0, int64(i), want[i]}) {
			t.Fatalf("message %d came as %+v; %d messages were sent", i, l, len(want))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages came back of %d", len(got), len(want))
	}
}

func numbered(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// kcatGroup runs two members of a group: the second one's coming and the first
// one's going move partitions, and every message is seen.
func kcatGroup(t *testing.T, on target) {
	process.Need(t, "kcat")
	topic, group := newTopic(t, on, 4), newName(t)
	produceNumbers(t, on, topic, 0, 1000)
	first := startMember(t, on, group, topic)
	first.waitFor(t, 0, 1000)

	second := startMember(t, on, group, topic)
	process.Poll(t, time.Minute, "both members have partitions", func() error {
		a, b := first.assigned(), second.assigned()
		if len(a) == 0 || len(b) == 0 || len(a)+len(b) != 4 {
			return fmt.Errorf("the first has %v and the second %v", a, b)
		}
		return nil
	})
	produceNumbers(t, on, topic, 1000, 2000)
	process.Poll(t, time.Minute, "the group has seen the messages 1000 to 1999", func() error {
		return missing(append(first.lines(t), second.lines(t)...), 1000, 2000)
	})
	if err := missing(second.lines(t), 1000, 2000); err == nil {
		t.Error("the second member has seen everything, the first got nothing after the rebalance")
	}

	first.leave(t)
	process.Poll(t, time.Minute, "the second member has all partitions", func() error {
		if a := second.assigned(); len(a) != 4 {
			return fmt.Errorf("it has %v", a)
		}
		return nil
	})
	produceNumbers(t, on, topic, 2000, 3000)
	second.waitFor(t, 2000, 3000)
	second.leave(t)
}

func produceNumbers(t *testing.T, on target, topic string, from, to int) {
	t.Helper()
	cl := newClient(t, on, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	var records []*kgo.Record
	for _, s := range numbered(from, to) {
		records = append(records, kgo.StringRecord(s))
	}
	if err := cl.ProduceSync(limited(t, time.Minute), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func missing(got []line, from, to int) error {
	seen := map[string]bool{}
	for _, l := range got {
		seen[l.value] = true
	}
	n := 0
	for _, s := range numbered(from, to) {
		if !seen[s] {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d are missing", n, to-from)
	}
	return nil
}

var illegal = strings.NewReplacer("/", "-", " ", "-", "_", "-")

// newName is a legal topic or group name that nobody else has.
func newName(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s-%08x", illegal.Replace(t.Name()), rand.Uint32())
}
