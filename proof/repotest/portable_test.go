//go:build linux && !purego && !scm_purego

package repotest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/events"
)

// tested are the packages whose tests CI runs on macOS and FreeBSD, and which have more there than examples.
var tested = []string{".", "./fdchannel", "./framed", "./wire"}

// sources returns the Go files, with tests, that a system compiles in the tested packages and their test helpers.
func sources(goos string) []string {
	GinkgoHelper()
	g := goTool{env: []string{"GOOS=" + goos, "CGO_ENABLED=0"}}
	const each = `{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}} {{end}}{{range .TestGoFiles}}{{$d}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$d}}/{{.}} {{end}}`
	return strings.Fields(g.must(append([]string{"list", "-f", each}, append(tested, "./internal/fdtest")...)...))
}

// isTest reports whether a source belongs to tests only.
func isTest(file string) bool {
	return strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/internal/fdtest/files_")
}

var _ = Describe("Makefile", Label("tree"), func() {
	// Otherwise go test runs fewer tests, and succeeds.
	It("names only tests that exist, as does proof/Makefile", func() {
		text := strings.ReplaceAll(contents("Makefile")+contents("proof/Makefile"), "$(suite)", "test ./repotest")
		commands := regexp.MustCompile(`test (\./\S+)(.*) -(?:run|ginkgo\.focus)[ =](\w+|'[^'$]+')`).FindAllStringSubmatch(text, -1)
		Expect(len(commands)).To(BeNumerically(">=", 8))
		for _, m := range commands {
			var tests string
			for _, file := range append(ok(filepath.Glob(m[1]+"/*_test.go")), ok(filepath.Glob("proof/"+m[1]+"/*_test.go"))...) {
				tests += contents(file)
			}
			for _, name := range strings.Split(strings.Trim(m[3], "'"), "|") {
				Expect(regexp.MatchString(`\n(func `+name+`\(|.*\b(Describe|It)\(".*`+name+`)`, tests)).To(BeTrue(), "%s in %s", name, m[1])
			}
		}
	})
})

var _ = Describe("make test", Label("tree"), func() {
	It("does not pass on its variables to a make that a test starts, except CI and SLOW", func() {
		text := contents("Makefile") + contents("tools/common.mk") + contents("proof/Makefile")
		for _, m := range regexp.MustCompile(`(?m)^(\w+) \?=`).FindAllStringSubmatch(text, -1) {
			if m[1] != "CI" && m[1] != "SLOW" {
				GinkgoT().Setenv(m[1], "set")
				Expect(fdtest.WithoutMake()).NotTo(ContainElement(m[1] + "=set"))
			}
		}
	})

	It("or make proof-test tests every module that has tests, except the peers", func() {
		text := contents("Makefile") + contents("proof/Makefile")
		for _, file := range strings.Fields(output(exec.Command("git", "ls-files", "*/go.mod"))) {
			folder := filepath.Dir(file)
			if output(exec.Command("git", "ls-files", folder+"/*_test.go")) != "" && !strings.HasPrefix(folder, "interop/peers/") {
				Expect(text).To(MatchRegexp(`\$\(call in,(\.\./)?` + folder + `\) \$\(TEST\)`))
			}
		}
	})
})

var _ = Describe("the tests on macOS and FreeBSD", Label("build"), func() {
	for _, system := range []string{"darwin/arm64", "freebsd/amd64"} {
		It("can be built for "+system, func() {
			goos, goarch, _ := strings.Cut(system, "/")
			g := goTool{env: []string{"GOOS=" + goos, "GOARCH=" + goarch, "CGO_ENABLED=0"}}
			for _, folder := range publicFolders() {
				g.must("test", "-c", "-vet=off", "-o", filepath.Join(GinkgoT().TempDir(), "tests"), folder)
			}
		})
	}

	// go test sees the files that macOS compiles, as if this were a copy of the tree without the others.
	It("pass on Linux too", func() {
		macOS, linux := sources("darwin"), sources("linux")
		dir := GinkgoT().TempDir()
		replace := map[string]string{}
		for _, file := range linux {
			if isTest(file) && !slices.Contains(macOS, file) {
				replace[file] = "" // absent
			}
		}
		for _, file := range macOS {
			if isTest(file) && !slices.Contains(linux, file) {
				_, code, _ := strings.Cut(contents(file), "\n") // without the constraint
				replace[file] = filepath.Join(dir, strconv.Itoa(len(replace)))
				Expect(os.WriteFile(replace[file], []byte(code), 0o600)).To(Succeed())
			}
		}
		overlay := filepath.Join(dir, "overlay.json")
		Expect(os.WriteFile(overlay, ok(json.Marshal(map[string]any{"Replace": replace})), 0o600)).To(Succeed())
		out := goTool{}.must(append([]string{"test", "-json", "-count=1", "-vet=off", "-overlay", overlay}, tested...)...)
		specs := slices.DeleteFunc(ok(events.Read([]byte(out))), func(t *events.Test) bool {
			return t.Package != module || !strings.HasPrefix(t.Name, "TestSuite/") || t.State != "pass"
		})
		Expect(len(specs)).To(BeNumerically(">=", 150), "specs of package scm")
	})

	It("of csrc pass on Linux too, in the code for other systems", func() {
		needsCompiler()
		csrc{build: GinkgoT().TempDir()}.must("test-portable", "CPPFLAGS=-U__linux__")
	})
})

var _ = Describe("the job oldest-go", func() {
	It("is green with the oldest Go, git and gcc", func() {
		if os.Getenv("SCM_OLDEST_GO") != "full" {
			Skip("make proof-release FULL=1 runs it")
		}
		job := between(contents(".github/workflows/ci.yml"), "\n  oldest-go:\n", "\n  macos:\n")
		command := regexp.MustCompile(`\n      - run: (.*)\n`).FindStringSubmatch(job)
		Expect(command).To(HaveLen(2))
		oldest := goTool{env: []string{"GOTOOLCHAIN=go1.24.0"}}
		if _, stderr, err := oldest.run("version"); err != nil {
			fdtest.Missing(GinkgoTB(), "go1.24.0", "cannot be downloaded: "+strings.TrimSpace(stderr))
		}
		// gcc finds as and ld in PATH. Every system has the others.
		path := oldest.variable("GOROOT") + "/bin:" + linked("git", "gcc", "as", "ld",
			"awk", "bash", "cat", "chmod", "cp", "echo", "env", "false", "find", "id", "ln", "ls", "make", "mkdir", "rm", "sed", "sh", "sleep", "sort", "true")
		cmd := exec.Command("/bin/sh", "-c", command[1])
		cmd.Env = append(fdtest.WithoutMake(), "PATH="+path)
		for _, m := range regexp.MustCompile(`(?m)^      (\w+): '?(.*?)'?(?: #.*)?$`).FindAllStringSubmatch(job, -1) {
			cmd.Env = append(cmd.Env, m[1]+"="+m[2])
		}
		output(cmd)
	})
})
