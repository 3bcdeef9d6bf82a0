//go:build linux && !purego && !scm_purego

package repotest

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

var (
	pitfall  = regexp.MustCompile("(?m)^```(python|go)\n((?:[^`\n].*\n|\n)+)```\n\n((?:    .*\n)+)")
	preamble = regexp.MustCompile("Each Python program starts with `(.*?)` and `(.*?)`")
)

var _ = Describe("docs/pitfalls.md", func() {
	It("has programs that print what the page says", func() {
		fdtest.Program(GinkgoTB(), "python3")
		page := contents("docs/pitfalls.md")
		start := preamble.FindStringSubmatch(page)
		Expect(start).To(HaveLen(3))
		counts := map[string]int{}
		for _, m := range pitfall.FindAllStringSubmatch(page, -1) {
			counts[m[1]]++
			want := flat(m[3])
			var printed string
			if m[1] == "python" {
				out, _ := exec.Command("python3", "-c", start[1]+"\n"+start[2]+"\n"+m[2]).CombinedOutput()
				before, last, failed := strings.Cut(string(out), "Traceback ")
				if failed { // the page shows only the last line
					lines := strings.SplitAfter(strings.TrimSpace(last)+"\n", "\n")
					last = lines[len(lines)-2]
				}
				printed = before + last
			} else {
				file := filepath.Join(GinkgoT().TempDir(), "main.go")
				goTool{}.writeFiles(map[string]string{file: m[2]})
				printed = goTool{}.must("run", file)
			}
			Expect(printed).To(Equal(want), m[2])
		}
		Expect(counts).To(And(HaveKeyWithValue("python", BeNumerically(">=", 14)), HaveKeyWithValue("go", BeNumerically(">=", 1))))
	})
})
