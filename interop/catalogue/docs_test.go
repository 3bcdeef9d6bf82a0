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

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/catalogue"
)

var update = flag.Bool("update", false, "update the tables in the README.md files")

const sourceRows = 403 // how many rows sources.txt has

// sourceRow matches a row: ID, a star if no other suite tests it, the sources, and the reason.
var sourceRow = regexp.MustCompile(`^([a-z0-9-]+(?:\.\.[0-9])?)(\*?)\t([^\t]+)(?:\t([^\t]+))?$`)

// scenarioName matches a name in a text: several words, as most names have, and no pattern.
var scenarioName = regexp.MustCompile("`((?:[a-z]+/)?[a-z0-9]+(?:-[a-z0-9]+)+)`")

// sources.txt has the source of each ID, and a reason if no scenario names it.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("sources.txt")
	fdtest.Must(t, err)
	named := map[string]string{} // a scenario for each ID
	seen := map[string]bool{}
	for _, s := range scenarios(t) {
		for _, id := range catalogue.SourceIDs(s) {
			named[id] = s.Name
		}
	}
	for i, l := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		m := sourceRow.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("line %d is not a row: %s", i+1, l)
			continue
		}
		id, star, source, reason := m[1], m[2], m[3], m[4]
		for wrong, is := range map[string]bool{
			"has two rows":                                          seen[id],
			"has no source and no star":                             source == "-" && star == "",
			"needs a scenario or a reason":                          named[id] == "" && reason == "",
			fmt.Sprintf("has a reason, but %s names it", named[id]): named[id] != "" && reason != "",
		} {
			if is {
				t.Errorf("line %d: %s %s", i+1, id, wrong)
			}
		}
		seen[id] = true
	}
	if len(seen) != sourceRows {
		t.Errorf("there are %d rows, not %d", len(seen), sourceRows)
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		if !seen[id] {
			t.Errorf("there is no row for %s, the source of %s", id, named[id])
		}
	}
	// The text names only scenarios and IDs that exist.
	for _, s := range scenarios(t) {
		_, id, _ := strings.Cut(s.Name, "/")
		seen[s.Name], seen[id] = true, true
	}
	for _, m := range scenarioName.FindAllStringSubmatch(string(b), -1) {
		if !seen[m[1]] {
			t.Errorf("%s does not exist", m[1])
		}
	}
}
