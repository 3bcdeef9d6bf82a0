//go:build linux && !purego && !scm_purego

package repotest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/proof/mutant"
	"github.com/scm-rights/scm/proof/target"
)

// These specs test the tests. Each puts a fault into the sources of a backend with go test -overlay,
// and runs the spec that the fault names, which must fail. With SCM_MUTANTS=full all faults are tried,
// and each spec is first run without a fault. It must pass.

// withoutDebug saves a quarter of the time to build a test.
const withoutDebug = "-ldflags=-s -w"

// focus returns the flags that select specs by their full names. Ginkgo matches them with the name of
// the suite in front.
func focus(names ...string) []string {
	var flags []string
	for _, name := range names {
		flags = append(flags, "--ginkgo.focus=scm over [a-z]+ "+regexp.QuoteMeta(name)+"$")
	}
	return flags
}

// suites maps the first word of a spec's name to its package. All other specs are in the root package.
var suites = map[string]string{"torture": "./proof/torture"}

// suite returns the package of the spec that must detect a fault.
func suite(f mutant.Fault) string {
	first, _, _ := strings.Cut(f.Spec, " ")
	if pkg, ok := suites[first]; ok {
		return pkg
	}
	return "."
}

var _ = Describe("mutants", Label("mutants"), func() {
	for name, tags := range map[string]string{"cgo": "", "purego": "scm_purego"} {
		faults := slices.DeleteFunc(mutant.By(mutant.Specs), func(f mutant.Fault) bool { return !f.Hits(name) })
		Describe("of "+name, Ordered, ContinueOnFailure, func() {
			full := mutant.Full()
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
					dir, path := target.Folder(".", pkg)
					goTool{dir: dir}.must("test", "-c", "-vet=off", withoutDebug, "-o", bin, "-tags", tags, path)
					for _, s := range runSuite(bin, nil, append(args, focus(names...)...)...) {
						healthy[s.FullText()] = s
					}
				}
			})

			if full {
				It("have specs that pass without a fault", func() {
					for name, s := range healthy {
						Expect(s.State).To(BeElementOf(types.SpecStatePassed, types.SpecStateSkipped), name)
					}
				})
			}

			// Without this spec, only SCM_MUTANTS=full would find a spec whose name has changed.
			It("have a spec that must detect them", func() {
				Expect(healthy).NotTo(BeEmpty())
				for _, f := range faults {
					Expect(healthy).To(HaveKey(f.Spec), f.What)
				}
			})

			for _, f := range faults {
				if f.Skipped(mutant.Specs) {
					continue
				}
				It(fmt.Sprintf("%s: %q fails", f.What, f.Spec), func() {
					was, ok := healthy[f.Spec]
					Expect(ok).To(BeTrue(), "no spec has this name")
					if was.State == types.SpecStateSkipped {
						Skip("the spec that must detect it cannot run: " + was.FailureMessage())
					}
					_, err := f.Try(mutant.Specs, ".", GinkgoT().TempDir(), func(o *mutant.Overlay) (string, error) {
						bin := filepath.Join(GinkgoT().TempDir(), "mutant.test")
						dir, path := target.Folder(".", suite(f))
						goTool{dir: dir}.must("test", "-c", "-o", bin, "-vet=off", withoutDebug, "-overlay", o.Name, "-tags", tags, path)
						// A spec that detects a leak does so by waiting in vain. The default timeout of 30 seconds is
						// for specs that must pass on a busy machine.
						specs := runSuite(bin, []string{spectest.EventuallyVariable + "=5s"}, focus(f.Spec)...)
						Expect(specs).To(HaveLen(1))
						switch state := specs[0].State; {
						case !full && state == types.SpecStateSkipped:
							Skip("the spec that must detect it cannot run: " + specs[0].FailureMessage())
						case state == types.SpecStateFailed, state == types.SpecStatePanicked:
							return specs[0].FullText(), nil
						}
						return "", nil
					})
					Expect(err).NotTo(HaveOccurred())
				})
			}
		})
	}
})
