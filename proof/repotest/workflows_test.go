//go:build linux && !purego && !scm_purego

package repotest

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("proof/release-missing.sh", Label("tree"), func() {
	It("succeeds only once nothing but the tags is left", func() {
		tree, bin := GinkgoT().TempDir(), GinkgoT().TempDir()
		Expect(os.MkdirAll(tree+"/.github/workflows", 0o700)).To(Succeed())
		// What these files say before the first release.
		files := map[string]string{"README.md": "Nothing has been released yet", ".github/workflows/ci.yml": "        continue-on-error: true\n",
			"SECURITY.md": "## Report a vulnerability\nTell the author."}
		for _, name := range []string{"proof/release-missing.sh", "go.mod", "csrc/scm_rights.h"} {
			files[name] = contents(name)
		}
		goTool{dir: tree}.writeFiles(files)
		run := func(answers string) error {
			git := "#!/bin/sh\ncase $* in\nrev-parse*) echo false;;\n" + answers + "esac\n"
			Expect(os.WriteFile(bin+"/git", []byte(git), 0o700)).To(Succeed())
			cmd := exec.Command("bash", tree+"/proof/release-missing.sh")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			return cmd.Run()
		}
		const released = "## Report a vulnerability\nWrite to security@example.org.\n"
		goTool{dir: tree}.writeFiles(map[string]string{"README.md": released, "SECURITY.md": released, ".github/workflows/ci.yml": released})
		for _, name := range []string{"README.md", "SECURITY.md", ".github/workflows/ci.yml"} {
			goTool{dir: tree}.writeFiles(map[string]string{name: files[name]})
			Expect(run("")).NotTo(Succeed(), name)
			goTool{dir: tree}.writeFiles(map[string]string{name: released})
		}
		Expect(run("")).To(Succeed())
		Expect(run("ls-remote*) exit 2;;\n")).NotTo(Succeed(), "without a repository")
		Expect(run("tag*|rev-list*) echo same;;\n")).To(Succeed())
		Expect(run("*cmd/scmvet/*) exit 128;;\ntag*|rev-list*) echo same;;\n")).NotTo(Succeed(), "with one tag")
	})
})

var _ = Describe("tools/version", Label("tree"), func() {
	// documented matches a version of scm on a page.
	documented := regexp.MustCompile(`(?:scm(?:_rights|vet)?(?:[-:]|@v)|download/v|name=csrc version=)(\d+\.\d+\.\d+)`)
	pages := func() []string {
		names := append(ok(filepath.Glob("docs/*.md")), ok(filepath.Glob("docs/ci/*"))...)
		return append(names, "README.md", "CHANGELOG.md", "csrc/scm_rights.h", "interop/peers/README.md")
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
				Expect(text(name)).NotTo(MatchRegexp(`(?i)no release yet|no tag yet|nothing has been released|not published|not yet at the address|will be at https|\x60replace\x60`), name)
			}
			Expect(text("README.md")).To(ContainSubstring("go get " + module + "@v" + version))
			Expect(len(strings.Fields(text("README.md")))).To(BeNumerically("<=", len(strings.Fields(contents("README.md")))), "proof/readme limits README.md")
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

var _ = Describe("release.yml", Label("tree"), func() {
	It("publishes only after every job of CI", func() {
		release, ci := contents(".github/workflows/release.yml"), contents(".github/workflows/ci.yml")
		Expect(release).To(MatchRegexp(`(?m)^  ci:\n    uses: \./\.github/workflows/ci\.yml\n`))
		Expect(release).To(ContainSubstring("\n  publish:\n    needs: [ci, ready]\n    if: github.event_name == 'push'\n"))
		Expect(ci).To(ContainSubstring("\n  workflow_call:"))
		for _, job := range []string{"lint", "library", "debian", "oldest-go", "macos", "freebsd"} {
			Expect(ci).To(ContainSubstring("\n  " + job + ":\n"))
		}
		// Only the steps that have never run may fail.
		allowed := regexp.MustCompile(`(?m)^      - run: .*\n(        shell: freebsd \{0\}\n)?        continue-on-error: true$`)
		_, others, _ := strings.Cut(ci, "\n  macos:\n")
		Expect(allowed.FindAllString(others, -1)).To(HaveLen(strings.Count(ci, "continue-on-error: ")))
	})
})

var _ = Describe("ci.yml", Label("tree"), func() {
	It("makes on Linux what .ci/run makes", func() {
		linux, _, _ := strings.Cut(contents(".github/workflows/ci.yml"), "\n  oldest-go:\n")
		// The step lint of the script is every linter, and its steps test and test-rest are test-all.
		_, lint, _ := strings.Cut(between(contents("Makefile"), "\nlint: ", " ##"), "setup-lint ")
		whole := map[string]string{"test-all": "test", "test-rest": "test", "setup-test": "setup", "setup-lint": "setup"}
		for _, linter := range strings.Fields(lint) {
			whole[linter] = "lint"
		}
		jobs, script, linters := map[string]bool{}, map[string]bool{}, 0
		for _, m := range regexp.MustCompile(`(?m)\bmake:? ([a-z][a-z -]*[a-z])`).FindAllStringSubmatch(linux, -1) {
			for _, target := range strings.Fields(m[1]) {
				if whole[target] == "lint" {
					linters++
				}
				jobs[cmp.Or(whole[target], target)] = true
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^\t?run make (\S+)`).FindAllStringSubmatch(contents(".ci/run"), -1) {
			script[cmp.Or(whole[m[1]], m[1])] = true
		}
		Expect(contents(".ci/run")).To(ContainSubstring("\nrun make test-rest\n"))
		Expect(jobs).To(Equal(script))
		Expect(contents(".ci/run")).To(ContainSubstring(` run make KERNEL="$netbsd" proof-bsd`), "on other systems, GitHub has the systems themselves")
		Expect(linters).To(Equal(len(strings.Fields(lint))))
		Expect(linux).To(MatchRegexp(`{job: suite, make: setup-test [a-z -]*\binterop( AS_USER=\S+)?}`), "it runs the pairs that the script leaves out")
	})

	It("fails in .ci/run if a step has no row that says ok", func() {
		tree := GinkgoT().TempDir()
		goTool{dir: tree}.writeFiles(map[string]string{"build/ci/a.row": "a  1 s  1 s  ok\n", "build/ci/b.row": "b  1 s  1 s  FAILED\n",
			"build/ci/c.row": "c has not ended\n", "build/ci/d.row": ""})
		count := exec.Command("bash", "-c", regexp.MustCompile(`(?m)^failed=.*$`).FindString(contents(".ci/run"))+`; echo "$failed"`)
		count.Dir = tree
		out, err := count.CombinedOutput()
		Expect(err).NotTo(HaveOccurred())
		Expect(string(out)).To(Equal("3\n"))
	})

	It("runs the first of README's two commands, and .ci/run both right after the set-up", func() {
		_, section, _ := strings.Cut(contents("README.md"), "\n## Try it\n")
		pair, test, _ := strings.Cut(between(section, "\n```sh\n", "\n```\n"), "\n")
		Expect(contents(".github/workflows/ci.yml")).To(ContainSubstring("\n      - run: " + pair + "\n"))
		Expect(contents(".ci/run")).To(ContainSubstring("\nrun make setup\nmachines &>build/ci/machines.log &\nrun " + pair + "\nrun " + test + "\n"))
	})
})

var _ = Describe(".ci/run", Label("tree"), func() {
	// A step that waits, one that waits in the background, and a process that ignores signals.
	const toyMake = `#!/bin/sh
case $1 in test | proof-kernels) ;; *) exit ;; esac
trap 'exit 2' INT TERM
(trap '' INT TERM; exec sleep 600) &
>build/$1.waits
wait
`

	for _, signal := range []struct {
		name   string
		number unix.Signal
		times  int
		group  bool // as ctrl-C
		status int
	}{
		{"SIGINT", unix.SIGINT, 1, false, 130},
		{"ctrl-C", unix.SIGINT, 1, true, 130},
		{"ctrl-C twice", unix.SIGINT, 2, true, 130},
		{"SIGTERM", unix.SIGTERM, 1, false, 143},
		{"SIGTERM to its process group", unix.SIGTERM, 1, true, 143},
	} {
		It("ends on "+signal.name+", and leaves no process", func() {
			tree := GinkgoT().TempDir()
			goTool{dir: tree}.writeFiles(map[string]string{".ci/run": contents(".ci/run"), "bin/make": toyMake, "bin/go": "#!/bin/sh\n"})
			Expect(os.Chmod(tree+"/bin/make", 0o700)).To(Succeed())
			Expect(os.Chmod(tree+"/bin/go", 0o700)).To(Succeed())
			marker := "CI_TOYS=" + tree
			left := func() map[int]string { return processesWith(marker) }
			DeferCleanup(func() {
				for pid := range left() {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			})
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			script := exec.CommandContext(ctx, "bash", tree+"/.ci/run")
			script.WaitDelay = time.Second
			script.Env = append(os.Environ(), marker, "PATH="+tree+"/bin:"+os.Getenv("PATH"))
			script.Stdout, script.Stderr = &out, &out
			script.SysProcAttr = &unix.SysProcAttr{Setsid: true}
			Expect(script.Start()).To(Succeed())
			for _, step := range []string{"test", "proof-kernels"} {
				Eventually(tree + "/build/" + step + ".waits").WithTimeout(time.Minute).Should(BeAnExistingFile())
			}
			to := script.Process.Pid
			if signal.group {
				to = -to
			}
			for range signal.times {
				Expect(unix.Kill(to, signal.number)).To(Succeed())
			}
			Expect(script.Wait()).NotTo(Succeed())
			Expect(script.ProcessState.ExitCode()).To(Equal(signal.status), out.String())
			Expect(out.String()).To(HaveSuffix("\ninterrupted during proof-kernels test\n2 passed, 2 failed, 0 skipped\n"))
			Expect(out.String()).NotTo(ContainSubstring("test-rest"), "the next step")
			Eventually(left).Should(BeEmpty())
		})
	}
})
