//go:build linux && !purego && !scm_purego

package repotest

import (
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/proof/mutant"
)

// evidence checks that the file of a test exists and contains the test: a function, a row or a line of a plan with
// exactly this name, or a spec with the name in its text.
func evidence(test string) {
	GinkgoHelper()
	file, name, ok := strings.Cut(test, ": ")
	if !ok {
		file = "interop/catalogue/" + test + ".txt"
	}
	text, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	n := regexp.QuoteMeta(name)
	test = `(?m)^func ` + n + `\(|\b(It|DescribeTable)\(.*` + n + `|"` + n + `"|^(quick|full) .* ` + n + `$`
	Expect(!ok || regexp.MustCompile(test).Match(text)).To(BeTrue(), "%s: want a test, a row or a spec %q", file, name)
}

var _ = It("the tests and comparisons that proof/promises.txt names exist", func() {
	text, err := os.ReadFile("proof/promises.txt")
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := strings.Split(line, " | ")
		Expect(words).To(HaveLen(3), line)
		evidence(words[1])
		if words[2] != "-" {
			evidence(words[2])
		}
	}
})

var _ = It("the rows of csrc's tests that faults name exist", func() {
	for _, f := range mutant.By(mutant.Rows) {
		program, row, _ := strings.Cut(f.Row, " ")
		evidence("csrc/test/" + program + ".c: " + row)
	}
})
