//go:build linux && !purego && !scm_purego

package repotest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

var _ = Describe("ci.yml", Label("tree"), func() {
	It("runs the first of README's two commands, and .ci/run both right after the set-up", func() {
		_, section, _ := strings.Cut(contents("README.md"), "\n## Try it\n")
		pair, test, _ := strings.Cut(between(section, "\n```sh\n", "\n```\n"), "\n")
		Expect(contents(".github/workflows/ci.yml")).To(ContainSubstring("\n      - run: " + pair + "\n"))
		Expect(steps()[:4]).To(Equal([]string{"make setup", pair, "make proof-kernels", test}))
	})
})

// steps returns the commands of the steps of .ci/run, in the order in which they begin.
func steps() (commands []string) {
	GinkgoHelper()
	cmd := exec.Command("make", "-n", "-f", ".ci/steps.mk")
	cmd.Env = append(fdtest.WithoutMake(), "KERNEL=")
	for _, m := range regexp.MustCompile(`(?m)^echo "== (.*?)"`).FindAllStringSubmatch(output(cmd), -1) {
		commands = append(commands, m[1])
	}
	return commands
}

// ciTree returns a tree in which .ci/run has toys as its steps, and the command that runs it.
func ciTree(ctx context.Context, files map[string]string, steps string) (tree string, script *exec.Cmd, out *bytes.Buffer) {
	GinkgoHelper()
	tree, out = GinkgoT().TempDir(), new(bytes.Buffer)
	files[".ci/run"], files[".ci/steps.mk"] = contents(".ci/run"), contents(".ci/steps.mk")
	files["bin/make"] = "#!/bin/sh\ncase $1 in\n-*) exec " + fdtest.Program(GinkgoTB(), "make") + " \"$@\" ;;\n" + steps
	goTool{dir: tree}.writeFiles(files)
	for name := range files {
		if strings.HasPrefix(name, "bin/") {
			Expect(os.Chmod(filepath.Join(tree, name), 0o700)).To(Succeed())
		}
	}
	script = exec.CommandContext(ctx, "bash", tree+"/.ci/run")
	script.WaitDelay = time.Second
	script.Env = append(fdtest.WithoutMake(), "KERNEL=", "PATH="+tree+"/bin:"+os.Getenv("PATH"))
	script.Stdout, script.Stderr = out, out
	script.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	return tree, script, out
}

var _ = Describe("the totals of .ci/run", Label("build"), func() {
	const test = "package a\nimport (\"fmt\"; \"os\"; \"strings\"; \"syscall\"; \"testing\")\n" +
		"var _, _, _, _, _ = fmt.Print, os.Exit, strings.Repeat, syscall.Kill, testing.Short\n"

	It("have a failure for each part that go test fails, and for each failed step without tests", func(ctx SpecContext) {
		toys := []struct{ name, code, results string }{
			{"good", `func TestA(t *testing.T) { t.Run("no_/proc", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { t.Skip() }) }`, "PS"},
			{"skips", `func TestA(t *testing.T) { t.Skip() }`, "S"},
			{"prints", `func TestA(t *testing.T) { fmt.Print("--- FAIL: TestB (0.00s)\nFAIL\nno newline") }`, "P"},
			{"empty", ``, ""},
			{"red", `func TestA(t *testing.T) { t.Run("a", func(t *testing.T) { t.Error() }); t.Run("b", func(t *testing.T) {}) }`, "FP"},
			{"after", `func TestA(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Error() }`, "PF"},
			{"panics", `func TestA(t *testing.T) { panic("") }`, "F"},
			{"exits", `func TestMain(m *testing.M) { m.Run(); os.Exit(3) }; func TestA(t *testing.T) {}`, "PF"},
			{"killed", `func TestA(t *testing.T) { syscall.Kill(os.Getpid(), 9); select {} }`, "F"},
			{"hangs", `func TestA(t *testing.T) { select {} }`, "FF"}, // the package too
			{"unbuilt", `func TestA(t *testing.T) { nothing() }`, "F"},
			{"unread", `func TestA(`, "F"},
			{"long", `func TestA(t *testing.T) { fmt.Println(strings.Repeat("x", 3<<20)); t.Fail() }`, "F"},
			{"cut", `func TestA(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { fmt.Print("--- PA"); os.Exit(1) }) }`, "PF"},
		}
		files := map[string]string{
			"go.mod": "module toy\n\ngo 1.24\n", "examples/pair/main.go": "package main\n\nfunc main() {}\n",
			"Makefile": "PARTS = $(notdir $(wildcard toys/*))\ninclude tools/common.mk\n.PHONY: $(PARTS)\ntest:\n\t@$(parts) $(PARTS)\n" +
				"$(PARTS):\n\t@$(TEST) $(if $(filter hangs,$@),-timeout=1s) ./toys/$@\n",
		}
		for _, name := range append(ok(filepath.Glob("tools/gotestsum/*")), "tools/common.mk") {
			files[name] = contents(name)
		}
		all := "F" // the step lint
		var red []string
		for _, toy := range toys {
			files["toys/"+toy.name+"/a_test.go"] = test + toy.code
			if all += toy.results; strings.Contains(toy.results, "F") {
				red = append(red, toy.name)
			}
		}
		_, script, out := ciTree(ctx, files, "test) exec "+fdtest.Program(GinkgoTB(), "make")+" test ;;\nlint) exit 1 ;;\nesac\n")
		Expect(script.Run()).NotTo(Succeed())
		Expect(script.ProcessState.ExitCode()).To(Equal(1), out.String())
		var failed []string
		for _, m := range regexp.MustCompile(`(?m)^make.*: (\w+)\] Error 1$`).FindAllStringSubmatch(out.String(), -1) {
			failed = append(failed, m[1])
		}
		Expect(failed).To(ConsistOf(red), out.String())
		Expect(out.String()).To(HaveSuffix(fmt.Sprintf("\n%d passed, %d failed, %d skipped\n", strings.Count(all, "P"), strings.Count(all, "F"), strings.Count(all, "S"))))
	})
})

var _ = Describe(".ci/run", Label("tree"), func() {
	// A step that waits, one that waits in the background, and a process that ignores signals.
	const waiting = `test | proof-kernels)
	trap 'exit 2' INT TERM
	(trap '' INT TERM; exec sleep 600) &
	>build/$1.waits
	wait ;;
esac
`

	DescribeTable("fails if", func(ctx SpecContext, limit string, files map[string]string) {
		files["bin/go"] = "#!/bin/sh\n"
		_, script, out := ciTree(ctx, files, "esac\n")
		script.Args = []string{"bash", "-c", limit + ` exec bash "$0"`, script.Args[1]}
		Expect(script.Run()).NotTo(Succeed())
		Expect(script.ProcessState.ExitCode()).To(Equal(1), out.String())
		Expect(out.String()).To(HaveSuffix("\n0 passed, 1 failed, 0 skipped\n"))
	},
		Entry("the disk is full", `trap "" XFSZ; ulimit -f 0;`, map[string]string{}),
		Entry("it cannot write to build", "", map[string]string{"build": ""}),
	)

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
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			tree, script, out := ciTree(ctx, map[string]string{"bin/go": "#!/bin/sh\n"}, waiting)
			marker := "CI_TOYS=" + tree
			script.Env = append(script.Env, marker)
			left := func() map[int]string { return processesWith(marker) }
			DeferCleanup(func() {
				for pid := range left() {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			})
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
			Expect(out.String()).To(MatchRegexp(`(?s)\npair +\d+ s  ok\n.*\ninterrupted by SIG(INT|TERM)\n0 passed, 2 failed, 0 skipped\n$`))
			Expect(out.String()).NotTo(ContainSubstring("== make lint"), "the next step")
			Eventually(left).Should(BeEmpty())
		})
	}
})
