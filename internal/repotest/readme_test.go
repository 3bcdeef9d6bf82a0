//go:build linux && !purego

package repotest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

var (
	readmeBlock = regexp.MustCompile("(?ms)^([^\n]*)\n\n?^```([a-z]+)\n(.*?)^```$")
	readmeFile  = regexp.MustCompile("as `([^`]+)`:$")
)

var _ = Describe("README", func() {
	It("works from top to bottom, each block pasted as it is", func() {
		needsCompiler()
		if _, err := exec.LookPath("pkg-config"); err != nil {
			fdtest.Missing(GinkgoTB(), err.Error())
		}
		script, files := "set -euo pipefail\n", 0
		for i, m := range readmeBlock.FindAllStringSubmatch(contents("README.md"), -1) {
			if m[2] == "sh" {
				script += m[3]
				continue
			}
			name := readmeFile.FindStringSubmatch(m[1])
			Expect(name).NotTo(BeNil(), "no name of a file before the block of %s, but %q", m[2], m[1])
			script += fmt.Sprintf("cat >%s <<'END %d'\n%sEND %d\n", name[1], i, m[3], i)
			files++
		}
		Expect(files).To(BeNumerically(">=", 3))
		tree := GinkgoT().TempDir()
		runs(exec.Command("sh", "-ec", "git ls-files -z --cached --others --exclude-standard | xargs -0 cp -a --parents -t "+tree))
		Expect(os.Mkdir(tree+"/build", 0o777)).To(Succeed())
		cmd := exec.Command("bash", "-c", script)
		cmd.Dir = tree
		// No test installs.
		cmd.Env = append(os.Environ(), "SETUP=0", "TMPDIR="+GinkgoT().TempDir())
		out := runs(cmd)
		Expect(strings.Count(out, "\nmodule example.com/pass\n")).To(Equal(2), "what Go and what C read:\n%s", out)
		Expect(out).To(ContainSubstring("the run: as expected\n"))
		Expect(out).To(HaveSuffix("2\n3\n"))
	})
})

// between is what a text has between one mark and the next.
func between(text, from, to string) string {
	GinkgoHelper()
	_, rest, begins := strings.Cut(text, from)
	part, _, ends := strings.Cut(rest, to)
	Expect(begins && ends).To(BeTrue(), "nothing between %q and %q", from, to)
	return part
}
