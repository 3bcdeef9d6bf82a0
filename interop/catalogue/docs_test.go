package catalogue_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

var update = flag.Bool("update", false, "write into docs/catalogue.md what the catalogue plays, and into README.md the tables of what the runner knows")

const (
	docs = "../../docs/catalogue.md"
	ids  = 401 // rows of it
)

var docsRow = regexp.MustCompile(`^\| ([a-z0-9-]+(?:\.\.[0-9])?)( ★)? \| ([^|]*?) \| (.*?) ?\| (.*?) ?\|$`)

// docsName is a name in a text: of several words, as most are, and no pattern.
var docsName = regexp.MustCompile("`((?:[a-z]+/)?[a-z0-9]+(?:-[a-z0-9]+)+)`")

// playedAs returns the scenarios that name an id of docs/catalogue.md as their source, as
// its table has them.
func playedAs(list []*scenario.Scenario) map[string]string {
	as := map[string]string{}
	add := func(s *scenario.Scenario, mark string) {
		_, sources, _ := strings.Cut(s.Rule[1], "docs/catalogue.md: ")
		for id := range strings.SplitSeq(sources, ",") {
			id, _, _ = strings.Cut(strings.TrimSpace(id), " ")
			as[id] = strings.TrimPrefix(as[id]+", `"+s.Name+"`"+mark, ", ")
		}
	}
	for _, s := range list {
		if !s.Kernel() {
			add(s, "")
		}
	}
	for _, s := range list {
		if s.Kernel() {
			add(s, " (kernel)")
		}
	}
	return as
}

// docs/catalogue.md says of each id where it is known from, and as what it is played, or
// why it is not.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	as := playedAs(scenarios(t))
	seen := map[string]bool{}
	for i, l := range lines {
		if l == "## Kernels" {
			break // its table is another one
		}
		if !strings.HasPrefix(l, "| ") || strings.HasPrefix(l, "| id |") {
			continue
		}
		m := docsRow.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("%d: not a row: %s", i+1, l)
			continue
		}
		id, star, source, played, reason := m[1], m[2], m[3], m[4], m[5]
		if *update {
			lines[i] = strings.ReplaceAll(fmt.Sprintf("| %s%s | %s | %s | %s |", id, star, source, as[id], reason), "|  |", "| |")
			played = as[id]
		}
		for wrong, is := range map[string]bool{
			"is there twice": seen[id],
			"is not played as " + as[id] + ": use -update": played != as[id],
			"has no source, and no ★":                      source == "" || source == "–" && star == "",
			"is played, or there is a reason why not":      (as[id] == "") != (reason != ""),
		} {
			if is {
				t.Errorf("%d: %s %s", i+1, id, wrong)
			}
		}
		seen[id] = true
	}
	if len(seen) != ids {
		t.Errorf("%d rows, of %d", len(seen), ids)
	}
	for _, id := range slices.Sorted(maps.Keys(as)) {
		if !seen[id] {
			t.Errorf("no row of %s, the source of %s", id, as[id])
		}
	}
	// What the document tells besides is about scenarios that there are.
	for _, s := range scenarios(t) {
		_, id, _ := strings.Cut(s.Name, "/")
		seen[s.Name], seen[id] = true, true
	}
	for _, m := range docsName.FindAllStringSubmatch(string(b), -1) {
		if !seen[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	if *update {
		if err := os.WriteFile(docs, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
