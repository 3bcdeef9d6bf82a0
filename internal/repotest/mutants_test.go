//go:build linux && !purego

package repotest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/mutant"
)

// The tests of the tests: a fault is put into the sources of a backend by
// go test -overlay, and the spec named beside it has to go red. Without the
// fault the same spec is green. SCM_MUTANTS=full runs them all, and the specs without a fault
// first: the tests show by themselves that they are green.

// overlaid returns the file for -overlay that puts a fault into the sources.
func overlaid(f mutant.Fault) string {
	GinkgoHelper()
	name := ok(mutant.Overlay(".", GinkgoT().TempDir(), f.Edits...))
	return name
}

// focus are the flags that choose specs by their whole names, which Ginkgo
// puts behind the suite's.
func focus(names ...string) []string {
	var flags []string
	for _, name := range names {
		flags = append(flags, "--ginkgo.focus=scm over [a-z]+ "+regexp.QuoteMeta(name)+"$")
	}
	return flags
}

// suites are the packages of specs that notice mutants, by the first word of a spec's
// name; all others are the root's.
var suites = map[string]string{"torture": "./internal/torture"}

// suite is the package with the spec that notices a fault.
func suite(f mutant.Fault) string {
	first, _, _ := strings.Cut(f.Spec, " ")
	if pkg, ok := suites[first]; ok {
		return pkg
	}
	return "."
}

var _ = Describe("mutants", Label("mutants"), func() {
	for name, tags := range map[string]string{"cgo": "", "purego": "purego"} {
		faults := slices.DeleteFunc(slices.Clone(mutant.Faults), func(f mutant.Fault) bool { return f.Spec == "" || !f.Hits(name) })
		Describe("of "+name, Ordered, ContinueOnFailure, func() {
			full := os.Getenv("SCM_MUTANTS") == "full"
			healthy := map[string]types.SpecReport{}

			BeforeAll(func() {
				if name == "cgo" {
					needsCompiler()
				}
				names := map[string][]string{}
				for _, f := range faults {
					names[suite(f)] = append(names[suite(f)], f.Spec)
				}
				args := []string{"--ginkgo.dry-run"}
				if full {
					args = nil
				}
				for pkg, names := range names {
					bin := filepath.Join(GinkgoT().TempDir(), "healthy.test")
					goTool{}.must("test", "-c", "-vet=off", "-o", bin, "-tags", tags, pkg)
					for _, s := range runSuite(bin, nil, append(args, focus(names...)...)...) {
						healthy[s.FullText()] = s
					}
				}
			})

			if full {
				It("are not needed for the specs to be green", func() {
					for name, s := range healthy {
						Expect(s.State).To(BeElementOf(types.SpecStatePassed, types.SpecStateSkipped), name)
					}
				})
			}

			// Without this, a mutant that cannot be put in is found only by SCM_MUTANTS=full.
			It("have a place in the sources and a spec to notice them", func() {
				Expect(healthy).NotTo(BeEmpty())
				for _, f := range faults {
					overlaid(f)
					Expect(healthy).To(HaveKey(f.Spec), f.What)
				}
			})

			for _, f := range faults {
				if !full && f.Often&mutant.Specs == 0 {
					continue
				}
				It(fmt.Sprintf("%s: %q goes red", f.What, f.Spec), func() {
					was, ok := healthy[f.Spec]
					Expect(ok).To(BeTrue(), "there is no such spec")
					if was.State == types.SpecStateSkipped {
						Skip("the spec that would notice cannot run here: " + was.FailureMessage())
					}
					bin := filepath.Join(GinkgoT().TempDir(), "mutant.test")
					goTool{}.must("test", "-c", "-o", bin, "-vet=off", "-overlay", overlaid(f), "-tags", tags, suite(f))
					specs := runSuite(bin, nil, focus(f.Spec)...)
					Expect(specs).To(HaveLen(1))
					Expect(specs[0].FullText()).To(Equal(f.Spec))
					if !full && specs[0].State == types.SpecStateSkipped {
						Skip("the spec that would notice cannot run here: " + specs[0].FailureMessage())
					}
					Expect(specs[0].State).To(BeElementOf(types.SpecStateFailed, types.SpecStatePanicked), "the mutant was not noticed")
				})
			}
		})
	}
})
