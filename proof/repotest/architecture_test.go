//go:build linux && !purego && !scm_purego

package repotest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The pages with diagrams. The second is about package interop and those below it.
const (
	architecture = "docs/architecture.md"
	suitePage    = "interop/README.md"
)

var updateArchitecture = flag.Bool("update-architecture", false, "regenerate the diagrams in "+architecture+" and "+suitePage)

// drawn matches a diagram of packages, and the go list patterns in the comment above it.
var drawn = regexp.MustCompile("(?s)<!-- go list -deps ([^\n]*) -->\n```mermaid\n(.*?)```\n")

// moduleImports returns, for the packages of this module that the patterns select or depend on,
// the packages of this module that each imports. It merges both backends.
func moduleImports(patterns ...string) map[string][]string {
	GinkgoHelper()
	imports := map[string][]string{}
	for _, tags := range []string{"", "scm_purego"} {
		for _, p := range (goTool{env: []string{"CGO_ENABLED=1"}}).list(append([]string{"-deps", "-tags=" + tags}, patterns...)...) {
			name, ours := moduleName(p.ImportPath)
			if !ours {
				continue
			}
			list := imports[name]
			for _, path := range p.Imports {
				if other, ours := moduleName(path); ours && !slices.Contains(list, other) {
					list = append(list, other)
				}
			}
			imports[name] = list
		}
	}
	return imports
}

// moduleName returns the path of a package inside the module, and "scm" for its root.
func moduleName(path string) (string, bool) {
	if path == module {
		return "scm", true
	}
	return strings.CutPrefix(path, module+"/")
}

// diagram draws the imports as a Mermaid flowchart. It leaves out each arrow that a path of other
// arrows replaces.
func diagram(imports map[string][]string) string {
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		return slices.ContainsFunc(imports[from], func(next string) bool { return next == to || reaches(next, to) })
	}
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		fmt.Fprintf(&b, "  %s[%q]\n", nodeID(name), name)
	}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		for _, other := range slices.Sorted(slices.Values(imports[name])) {
			longer := func(next string) bool { return next != other && reaches(next, other) }
			if !slices.ContainsFunc(imports[name], longer) {
				fmt.Fprintf(&b, "  %s --> %s\n", nodeID(name), nodeID(other))
			}
		}
	}
	return b.String()
}

func nodeID(name string) string { return strings.ReplaceAll(name, "/", "_") }

var _ = Describe(architecture, Label("tree"), func() {
	It("draws the packages as go list reports them: see -update-architecture", func() {
		for _, name := range []string{architecture, suitePage} {
			page := contents(name)
			Expect(drawn.MatchString(page)).To(BeTrue())
			want := drawn.ReplaceAllStringFunc(page, func(block string) string {
				patterns := drawn.FindStringSubmatch(block)[1]
				return "<!-- go list -deps " + patterns + " -->\n```mermaid\n" + diagram(moduleImports(strings.Fields(patterns)...)) + "```\n"
			})
			if *updateArchitecture {
				Expect(os.WriteFile(name, []byte(want), 0o644)).To(Succeed())
				continue
			}
			Expect(page).To(Equal(want))
		}
	})
})
