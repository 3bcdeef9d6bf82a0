//go:build linux && !purego

package repotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// A workflowsLinter is tools/workflows and the two linters that it runs.
type workflowsLinter struct{ bin, actionlint, schemas string }

// newWorkflowsLinter skips the spec if a linter is missing. make lint installs check-jsonschema.
func newWorkflowsLinter() workflowsLinter {
	GinkgoHelper()
	l := workflowsLinter{schemas: ok(filepath.Abs("build/venv/bin/check-jsonschema"))}
	if _, err := exec.LookPath(l.schemas); err != nil {
		fdtest.Missing(GinkgoTB(), err.Error())
	}
	dir := GinkgoT().TempDir()
	l.bin, l.actionlint = dir+"/workflows", dir+"/actionlint"
	if _, stderr, err := (goTool{}).run("build", "-C", "tools/vet", "-o", l.actionlint, "github.com/rhysd/actionlint/cmd/actionlint"); err != nil {
		fdtest.Missing(GinkgoTB(), stderr)
	}
	goTool{}.must("build", "-o", l.bin, "./tools/workflows")
	return l
}

// run checks a tree, and returns the faults that the linters print.
func (l workflowsLinter) run(tree string) (string, error) {
	out, err := exec.Command(l.bin, "-C", tree, "-actionlint", l.actionlint, "-check-jsonschema", l.schemas).CombinedOutput()
	return string(out), err
}

var _ = Describe("make lint-workflows", func() {
	It("finds a fault in a workflow, the action, a block of docs/ci.md, and Dependabot's configuration", func() {
		l := newWorkflowsLinter()
		tree := GinkgoT().TempDir()
		files := []string{".github/workflows/ci.yml", ".github/dependabot.yml", "action.yml", "docs/ci.md"}
		for _, name := range files {
			to := filepath.Join(tree, name)
			Expect(os.MkdirAll(filepath.Dir(to), 0o700)).To(Succeed())
			Expect(os.WriteFile(to, []byte(contents(name)), 0o600)).To(Succeed())
		}
		out, err := l.run(tree)
		Expect(err).NotTo(HaveOccurred(), out)
		type fault struct{ file, old, new, printed string }
		for _, faults := range [][]fault{
			{
				{".github/workflows/ci.yml", "    timeout-minutes: 90\n", "    timeout-minuets: 90\n", `unexpected key "timeout-minuets"`},
				{".github/workflows/ci.yml", "  oldest-go:\n", "  oldest-go:\n    needs: windows\n", `needs job "windows" which does not exist`},
				{".github/workflows/ci.yml", "run: .ci/run", "run: .ci/run ${{ steps.none.outputs.x }}", `property "none" is not defined`},
				{".github/dependabot.yml", "      interval: monthly\n", "      interval: fortnightly\n", "'fortnightly' is not one of"},
				{"action.yml", "      shell: bash\n", "", "/action.yml::$.runs: "},
				{"docs/ci.md", "          expect: interop-expected.txt\n", "          expects: interop-expected.txt\n", `input "expects" is not defined in action`},
				{"docs/ci.md", "    runs-on: ubuntu-latest\n", "    run-on: ubuntu-latest\n", `unexpected key "run-on"`},
				{"docs/ci.md", "  artifacts:\n", "  artefacts:\n", "/.gitlab-ci.yml::$.interop: "},
			},
			{{"action.yml", "    description: I/N", "    descripton: I/N", "'descripton' was unexpected"}},
			{{"docs/ci.md", "## GitLab\n", "## Gitlab\n", "1 blocks of YAML below GitHub and 0 below GitLab"}},
		} {
			text := map[string]string{}
			for _, name := range files {
				text[name] = contents(name)
			}
			for _, f := range faults {
				Expect(text[f.file]).To(ContainSubstring(f.old), f.file)
				text[f.file] = strings.Replace(text[f.file], f.old, f.new, 1)
			}
			for _, name := range files {
				Expect(os.WriteFile(filepath.Join(tree, name), []byte(text[name]), 0o600)).To(Succeed())
			}
			out, err := l.run(tree)
			Expect(err).To(HaveOccurred())
			for _, f := range faults {
				Expect(out).To(ContainSubstring(f.printed), "%s: %q", f.file, f.new)
			}
		}
	})

	It("fails if a linter is missing", func() {
		out, err := exec.Command("go", "run", "./tools/workflows", "-actionlint", "build/none", "-check-jsonschema", "build/none").CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(ContainSubstring("none: not found"))
	})
})
