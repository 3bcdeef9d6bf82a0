//go:build linux && !purego && !scm_purego

package repotest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// lintWorkflows runs make lint-workflows in a tree, and returns what it prints. With the flag -i, make goes on after a fault.
func lintWorkflows(tree string, flags ...string) (string, error) {
	GinkgoHelper()
	schemas := ok(filepath.Abs("build/venv/bin/check-jsonschema"))
	if _, err := exec.LookPath(schemas); err != nil {
		fdtest.Missing(GinkgoTB(), err.Error()) // make lint installs it
	}
	actionlint := filepath.Join(GinkgoT().TempDir(), "actionlint")
	if _, stderr, err := (goTool{}).run("build", "-C", "proof", "-o", actionlint, "github.com/rhysd/actionlint/cmd/actionlint"); err != nil {
		fdtest.Missing(GinkgoTB(), stderr)
	}
	cmd := exec.Command("make", append(flags, "lint-workflows", "-o", "lint-tools", "ACTIONLINT="+actionlint, "CHECK_JSONSCHEMA="+schemas)...)
	cmd.Dir = tree
	cmd.Env = fdtest.WithoutMake()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var _ = Describe("make lint-workflows", func() {
	It("finds a fault in a workflow, the action, a file of docs/ci, and Dependabot's configuration", func() {
		tree := GinkgoT().TempDir()
		files := []string{"Makefile", ".github/workflows/ci.yml", ".github/workflows/release.yml", ".github/dependabot.yml", "action.yml", "docs/ci/github.yml", "docs/ci/gitlab.yml"}
		text := map[string]string{}
		for _, name := range files {
			to := filepath.Join(tree, name)
			text[name] = contents(name)
			Expect(os.MkdirAll(filepath.Dir(to), 0o700)).To(Succeed())
			Expect(os.WriteFile(to, []byte(text[name]), 0o700)).To(Succeed())
		}
		Expect(os.Mkdir(filepath.Join(tree, ".git"), 0o700)).To(Succeed()) // actionlint looks for it to find the root
		out, err := lintWorkflows(tree)
		Expect(err).NotTo(HaveOccurred(), out)
		type fault struct{ file, old, new, printed string }
		for _, faults := range [][]fault{
			{
				{".github/workflows/ci.yml", "    timeout-minutes: 90\n", "    timeout-minuets: 90\n", `unexpected key "timeout-minuets"`},
				{".github/workflows/ci.yml", "  oldest-go:\n", "  oldest-go:\n    needs: windows\n", `needs job "windows" which does not exist`},
				{".github/workflows/ci.yml", "run: .ci/run", "run: .ci/run ${{ steps.none.outputs.x }}", `property "none" is not defined`},
				{".github/workflows/release.yml", "    needs: [ci, build]\n", "    needs: [ci, builds]\n", `needs job "builds" which does not exist`},
				{".github/dependabot.yml", "      interval: monthly\n", "      interval: fortnightly\n", "'fortnightly' is not one of"},
				{"action.yml", "      shell: bash\n", "", "action.yml::$.runs: "},
				{"docs/ci/github.yml", "          expect: interop-expected.txt\n", "          expects: interop-expected.txt\n", `input "expects" is not defined in action`},
				{"docs/ci/github.yml", "    runs-on: ubuntu-latest\n", "    run-on: ubuntu-latest\n", `unexpected key "run-on"`},
				{"docs/ci/gitlab.yml", "  artifacts:\n", "  artefacts:\n", "docs/ci/gitlab.yml::$.interop: "},
			},
			{{"action.yml", "    description: I/N", "    descripton: I/N", "'descripton' was unexpected"}},
		} {
			changed := maps.Clone(text)
			for _, f := range faults {
				Expect(changed[f.file]).To(ContainSubstring(f.old), f.file)
				changed[f.file] = strings.Replace(changed[f.file], f.old, f.new, 1)
			}
			for name, content := range changed {
				Expect(os.WriteFile(filepath.Join(tree, name), []byte(content), 0o700)).To(Succeed())
			}
			out, _ := lintWorkflows(tree, "-i")
			for _, f := range faults {
				Expect(out).To(ContainSubstring(f.printed), "%s: %q", f.file, f.new)
			}
			out, err = lintWorkflows(tree)
			Expect(err).To(HaveOccurred(), out)
		}
	})
})

var _ = Describe("proof/release-missing.sh", Label("house"), func() {
	It("prints what only the owner can do, in order, on one page, and succeeds once only the tags are left", func() {
		tree, bin := GinkgoT().TempDir(), GinkgoT().TempDir()
		Expect(os.MkdirAll(tree+"/proof", 0o700)).To(Succeed())
		Expect(os.MkdirAll(tree+"/csrc", 0o700)).To(Succeed())
		Expect(os.MkdirAll(tree+"/.github/workflows", 0o700)).To(Succeed())
		for _, name := range []string{"proof/release-missing.sh", "go.mod", "csrc/scm_rights.h"} {
			Expect(os.WriteFile(filepath.Join(tree, name), []byte(contents(name)), 0o700)).To(Succeed())
		}
		// What these files say before the first release.
		for name, text := range map[string]string{"README.md": "Nothing has been released yet", "SECURITY.md": "report a vulnerability to the person who gave you the checkout",
			".github/workflows/ci.yml": "        continue-on-error: true\n"} {
			Expect(os.WriteFile(filepath.Join(tree, name), []byte(text), 0o600)).To(Succeed())
		}
		run := func(status, log string) (string, error) {
			GinkgoHelper()
			Expect(os.WriteFile(bin+"/git", []byte("#!/bin/sh\n[ $1 != rev-parse ] || echo false\n[ $1 != log ] || printf '"+log+"'\n[ $1 != ls-remote ] || exit "+status+"\n"), 0o700)).To(Succeed())
			cmd := exec.Command(tree + "/proof/release-missing.sh")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := run("2", strings.Repeat("docs/findings/a-library.md\\n", 3))
		Expect(err).To(HaveOccurred())
		Expect(strings.Count(out, "\n")).To(BeNumerically("<=", 20), out) // the names of the libraries may take more lines
		Expect(out).To(MatchRegexp(`(?s)^1\. Reports, .*\n   a-library\.\n.*\n2\. Repository: there is none at https://` + module + `, .*\n3\. Vulnerabilities: .*\n4\. Fresh root commit: .*` +
			`\n5\. First runs on GitHub: ci\.yml has 1 steps .*\n6\. Version: .*\n7\. Tags: .* cmd/scmvet/v\d`))
		for _, name := range []string{"README.md", "SECURITY.md", ".github/workflows/ci.yml"} {
			out, err = run("0", "")
			Expect(err).To(HaveOccurred(), out)
			Expect(os.WriteFile(filepath.Join(tree, name), []byte("# Released\n"), 0o600)).To(Succeed())
		}
		out, err = run("0", "")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(out).To(HavePrefix("1. Tags: "))
		out, err = run("2", "")
		Expect(err).To(HaveOccurred())
		Expect(out).To(HavePrefix("1. Repository: "))
	})
})

var _ = Describe("tools/version", Label("house"), func() {
	// documented matches a version of scm on a page. comparison.md has the versions of the last survey.
	documented := regexp.MustCompile(`(?:scm(?:_rights|vet)?(?:[-:]|@v)|download/v)(\d+\.\d+\.\d+)`)
	pages := func() []string {
		names := append(ok(filepath.Glob("docs/*.md")), ok(filepath.Glob("docs/ci/*"))...)
		return append(slices.DeleteFunc(names, func(name string) bool { return name == "docs/comparison.md" }), "README.md", "CHANGELOG.md", "csrc/scm_rights.h")
	}

	It("has set the version of the tree on every page", func() {
		version := between(contents("csrc/scm_rights.h"), "#define SCM_VERSION \"", "\"\n")
		if strings.HasSuffix(version, "-dev") {
			version = between(contents("CHANGELOG.md"), "\n## [Unreleased]", "] - ")
			version = version[strings.LastIndex(version, "[")+1:]
		}
		for _, name := range pages() {
			for _, m := range documented.FindAllStringSubmatch(contents(name), -1) {
				Expect(m[1]).To(BeElementOf(version, "0.0.0"), "%s: %s", name, m[0])
			}
		}
	})

	It("changes every version, and every sentence that is true only before the first release", func() {
		tree := GinkgoT().TempDir()
		tool := filepath.Join(tree, "version")
		_, stderr, err := (goTool{}).run("build", "-o", tool, "./tools/version")
		Expect(err).NotTo(HaveOccurred(), stderr)
		for _, name := range append(pages(), "tools/version/sentences.txt") {
			Expect(os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o700)).To(Succeed())
			Expect(os.WriteFile(filepath.Join(tree, name), []byte(contents(name)), 0o600)).To(Succeed())
		}
		set := func(version string) (string, error) {
			cmd := exec.Command(tool, version)
			cmd.Dir = tree
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		text := func(name string) string { return string(ok(os.ReadFile(filepath.Join(tree, name)))) }
		for _, version := range []string{"9.8.7", "9.9.0"} {
			out, err := set(version)
			Expect(err).NotTo(HaveOccurred(), out)
			for _, name := range pages() {
				for _, m := range documented.FindAllStringSubmatch(text(name), -1) {
					Expect(m[1]).To(BeElementOf(version, "0.0.0"), "%s: %s", name, m[0])
				}
				Expect(text(name)).NotTo(MatchRegexp(`(?i)no release yet|no tag yet|nothing has been released|not published|not yet at the address|will be at https`), name)
			}
			Expect(text("README.md")).To(ContainSubstring("go get " + module + "@v" + version))
			Expect(strings.Count(text("README.md"), "\n")).To(BeNumerically("<=", 110))
			Expect(text("CHANGELOG.md")).To(ContainSubstring("\n## [Unreleased]\n\n## [" + version + "] - 2"))
			Expect(text("csrc/scm_rights.h")).To(ContainSubstring("#define SCM_VERSION \"" + version + "\"\n"))
		}
		readme := text("README.md")
		out, err := set("10.0.0-dev")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(text("csrc/scm_rights.h")).To(ContainSubstring("#define SCM_VERSION \"10.0.0-dev\"\n"))
		Expect(text("README.md")).To(Equal(readme))

		Expect(os.WriteFile(filepath.Join(tree, "docs/vet.md"), nil, 0o600)).To(Succeed())
		out, err = set("10.0.0")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("docs/vet.md has neither"))
		Expect(text("README.md")).To(Equal(readme))
	})
})

var _ = Describe("release.yml", Label("house"), func() {
	It("publishes only after every job of CI", func() {
		release, ci := contents(".github/workflows/release.yml"), contents(".github/workflows/ci.yml")
		Expect(release).To(MatchRegexp(`(?m)^  ci:\n    uses: \./\.github/workflows/ci\.yml\n`))
		Expect(release).To(ContainSubstring("\n  publish:\n    needs: [ci, build]\n    if: github.event_name == 'push'\n"))
		Expect(ci).To(ContainSubstring("\n  workflow_call:"))
		for _, job := range []string{"linux", "macos", "freebsd"} {
			Expect(ci).To(ContainSubstring("\n  " + job + ":\n"))
		}
		// Only the steps that have never run may fail.
		allowed := regexp.MustCompile(`(?m)^      - run: .*\n(        shell: freebsd \{0\}\n)?        continue-on-error: true$`)
		_, others, _ := strings.Cut(ci, "\n  macos:\n")
		Expect(allowed.FindAllString(others, -1)).To(HaveLen(strings.Count(ci, "continue-on-error: ")))
		for _, workflow := range []string{release, ci} { // make proof-release runs an image
			Expect(workflow).To(MatchRegexp(`\n      image: debian:\d+\n      options: --privileged\b`))
		}
	})
})
