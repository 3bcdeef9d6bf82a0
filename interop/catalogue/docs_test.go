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
	played := map[string][]string{}
	for _, s := range list {
		name := "`" + s.Name + "`"
		if s.Play == scenario.PlayKernel {
			name += " (kernel)"
		}
		_, sources, _ := strings.Cut(strings.Join(s.Rule[1:2], " "), "docs/catalogue.md: ")
		for id := range strings.SplitSeq(sources, ",") {
			id, _, _ = strings.Cut(strings.TrimSpace(id), " ")
			played[id] = append(played[id], name)
		}
	}
	as := map[string]string{}
	for id, names := range played {
		// Peer scenarios first.
		slices.SortFunc(names, func(a, b string) int {
			if k := strings.Count(a, "(kernel)") - strings.Count(b, "(kernel)"); k != 0 {
				return k
			}
			return strings.Compare(a, b)
		})
		as[id] = strings.Join(names, ", ")
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
		m := docsRow.FindStringSubmatch(l)
		switch {
		case !strings.HasPrefix(l, "| ") || strings.HasPrefix(l, "| id |"):
			continue
		case m == nil:
			t.Errorf("%d: not a row: %s", i+1, l)
			continue
		}
		id, star, source, played, reason := m[1], m[2], m[3], m[4], m[5]
		if seen[id] {
			t.Errorf("%d: %s is there twice", i+1, id)
		}
		seen[id] = true
		switch {
		case *update:
			lines[i] = strings.ReplaceAll(fmt.Sprintf("| %s%s | %s | %s | %s |", id, star, source, as[id], reason), "|  |", "| |")
		case played != as[id]:
			t.Errorf("%d: %s is played as %s, not as %s: write it with -update", i+1, id, as[id], played)
		}
		if source == "" || source == "–" && star == "" {
			t.Errorf("%d: %s has no source, and no ★", i+1, id)
		}
		switch {
		case as[id] == "" && reason == "":
			t.Errorf("%d: %s is not played, and no reason told", i+1, id)
		case as[id] != "" && reason != "":
			t.Errorf("%d: %s is played, and there is a reason why not", i+1, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(as)) {
		if !seen[id] {
			t.Errorf("no row of %s, the source of %s", id, as[id])
		}
	}
	// What the document tells besides is about scenarios that there are.
	names := map[string]bool{}
	for _, s := range scenarios(t) {
		_, id, _ := strings.Cut(s.Name, "/")
		names[s.Name], names[id] = true, true
	}
	for _, m := range docsName.FindAllStringSubmatch(string(b), -1) {
		if !names[m[1]] && !seen[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	if len(seen) != ids {
		t.Errorf("%d rows, of %d", len(seen), ids)
	}
	if *update {
		if err := os.WriteFile(docs, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
