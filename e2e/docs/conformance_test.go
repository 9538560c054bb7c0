package docs

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A line of a table of docs/conformance-network.md. Where it stands is its
// table's heading: a test class of Kafka's, or an area of behaviours.
type line struct {
	number        int
	part, heading string
	first, ours   string
	named         []namedTest
	notApply      bool
	behaviour     bool
}

type namedTest struct{ folder, name string }

var (
	id       = regexp.MustCompile(`^[A-Z][0-9]{1,2}$`)
	span     = regexp.MustCompile("`([a-z0-9/]+): ([^`]+)`")
	notApply = regexp.MustCompile(`^does not apply: .*(ZooKeeper|KRaft|GSSAPI|JMX|JVM)`)
)

// TestConformance holds docs/conformance-network.md against the tree: the
// tests it names exist, those beside an id cite it, nothing is listed twice,
// and no line is open.
func TestConformance(t *testing.T) {
	lines := readPage(t, filepath.Join("..", "..", "docs", "conformance-network.md"))
	tests := testFunctions(t, filepath.Join("..", ".."))
	seen := map[string]int{}
	for _, l := range lines {
		checkUnique(t, l, seen)
		checkNamed(t, l, tests)
	}
	if len(lines) < 500 {
		t.Errorf("found only %d lines: is the pattern right?", len(lines))
	}
}

func checkUnique(t *testing.T, l line, seen map[string]int) {
	if l.part == "Mutations" {
		return
	}
	key := l.heading + " " + l.first
	if l.behaviour {
		key = l.first
	}
	if before, twice := seen[key]; twice {
		t.Errorf("line %d lists %s again, after line %d", l.number, key, before)
	}
	seen[key] = l.number
}

// checkNamed: every line says who covers it, and who is named exists. Beside
// an id at least one of the named tests cites it, so that whoever breaks the
// test learns what it stands for.
func checkNamed(t *testing.T, l line, tests map[namedTest]string) {
	if l.notApply {
		return
	}
	if len(l.named) == 0 {
		t.Errorf("line %d, %s: no test of ours is named: %q", l.number, l.first, l.ours)
		return
	}
	cited := false
	for _, n := range l.named {
		text, exists := tests[n]
		if !exists {
			t.Errorf("line %d, %s: %s has no test %s", l.number, l.first, n.folder, n.name)
		}
		cited = cited || regexp.MustCompile(`\b`+l.first+`\b`).MatchString(text)
	}
	if l.behaviour && !cited {
		t.Errorf("line %d: none of the tests beside %s cites it", l.number, l.first)
	}
}

func readPage(t *testing.T, path string) (lines []line) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	part, heading, number := "", "", 0
	for in := bufio.NewScanner(f); in.Scan(); {
		number++
		text := in.Text()
		switch {
		case strings.HasPrefix(text, "# "):
			part, heading = text[2:], ""
		case strings.HasPrefix(text, "## "), strings.HasPrefix(text, "### "):
			heading = strings.TrimLeft(text, "# ")
		case strings.HasPrefix(text, "| ") && !strings.HasSuffix(text, "| ours |") && !strings.HasSuffix(text, "| test |"):
			lines = append(lines, readLine(t, part, heading, number, text))
		}
	}
	return lines
}

func readLine(t *testing.T, part, heading string, number int, text string) line {
	cells := strings.Split(strings.Trim(text, "| "), " | ")
	l := line{number: number, part: part, heading: heading, first: cells[0], ours: cells[len(cells)-1]}
	l.behaviour = part == "Behaviours" || strings.HasPrefix(part, "Client quotas")
	if (l.behaviour || part == "Mutations") && (len(cells) != 3 || !id.MatchString(l.first)) {
		t.Errorf("line %d: want an id and two more cells: %s", number, text)
	}
	l.notApply = notApply.MatchString(l.ours)
	for _, m := range span.FindAllStringSubmatch(l.ours, -1) {
		for _, name := range strings.Split(m[2], ", ") {
			name, _, _ = strings.Cut(name, "/")
			l.named = append(l.named, namedTest{m[1], name})
		}
	}
	return l
}

// testFunctions gives the text, comment and body, of every test function of
// the tree.
func testFunctions(t *testing.T, root string) map[namedTest]string {
	tests := map[namedTest]string{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, source, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !isTest(f.Name.Name) {
				continue
			}
			from := f.Pos()
			if f.Doc != nil {
				from = f.Doc.Pos()
			}
			n := namedTest{filepath.ToSlash(folder), f.Name.Name}
			tests[n] = string(source[files.Position(from).Offset:files.Position(f.End()).Offset])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

func isTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Benchmark")
}
