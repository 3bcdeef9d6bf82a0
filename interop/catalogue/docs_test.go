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

var update = flag.Bool("update", false, "update the tables in docs/catalogue.md and in the README.md files")

const (
	docs = "../../docs/catalogue.md"
	ids  = 403 // how many rows its tables have
)

var docsRow = regexp.MustCompile(`^\| ([a-z0-9-]+(?:\.\.[0-9])?)( ★)? \| ([^|]*?) \| (.*?) ?\| (.*?) ?\|$`)

// docsName matches a name in a text: several words, as most names have, and no pattern.
var docsName = regexp.MustCompile("`((?:[a-z]+/)?[a-z0-9]+(?:-[a-z0-9]+)+)`")

// scenariosOf returns, for each id of docs/catalogue.md, the scenarios that name it as their
// source, as the table lists them.
func scenariosOf(list []*scenario.Scenario) map[string]string {
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

// docs/catalogue.md has the source of each id, and the scenarios for it or the reason why
// there are none.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	as := scenariosOf(scenarios(t))
	seen := map[string]bool{}
	for i, l := range lines {
		if l == "## Kernels" {
			break // the table there has another form
		}
		if !strings.HasPrefix(l, "| ") || strings.HasPrefix(l, "| id |") {
			continue
		}
		m := docsRow.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("line %d is not a row: %s", i+1, l)
			continue
		}
		id, star, source, names, reason := m[1], m[2], m[3], m[4], m[5]
		if *update {
			lines[i] = strings.ReplaceAll(fmt.Sprintf("| %s%s | %s | %s | %s |", id, star, source, as[id], reason), "|  |", "| |")
			names = as[id]
		}
		for wrong, is := range map[string]bool{
			"has two rows": seen[id],
			"does not list " + as[id] + ": use -update": names != as[id],
			"has no source and no ★":                    source == "" || source == "–" && star == "",
			"needs either a scenario or a reason":       (as[id] == "") != (reason != ""),
		} {
			if is {
				t.Errorf("%d: %s %s", i+1, id, wrong)
			}
		}
		seen[id] = true
	}
	if len(seen) != ids {
		t.Errorf("there are %d rows, not %d", len(seen), ids)
	}
	for _, id := range slices.Sorted(maps.Keys(as)) {
		if !seen[id] {
			t.Errorf("there is no row for %s, the source of %s", id, as[id])
		}
	}
	// The text names only scenarios and ids that exist.
	for _, s := range scenarios(t) {
		_, id, _ := strings.Cut(s.Name, "/")
		seen[s.Name], seen[id] = true, true
	}
	for _, m := range docsName.FindAllStringSubmatch(string(b), -1) {
		if !seen[m[1]] {
			t.Errorf("%s does not exist", m[1])
		}
	}
	if *update {
		if err := os.WriteFile(docs, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
