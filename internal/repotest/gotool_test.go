//go:build linux && !purego

package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// The specs that run the go command look at the tree and not at a backend:
// under the tag purego they would be the same once more, and are left out.

const module = "github.com/scm-rights/scm"

// goTool is the go command in a folder, with changes to the environment.
type goTool struct {
	dir string
	env []string
}

// run returns what the command printed, and its error if it failed.
func (g goTool) run(args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = g.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isBuildVariable), g.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// isBuildVariable tells the variables that a spec sets itself if it wants them.
func isBuildVariable(v string) bool {
	name, _, _ := strings.Cut(v, "=")
	switch name {
	case "CGO_ENABLED", "GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOWORK":
		return true
	}
	return false
}

// must returns what the command printed; it has to succeed.
func (g goTool) must(args ...string) string {
	GinkgoHelper()
	stdout, stderr, err := g.run(args...)
	Expect(err).NotTo(HaveOccurred(), "go %s\n%s%s", strings.Join(args, " "), stdout, stderr)
	return stdout
}

// writes puts files into the command's folder.
func (g goTool) writes(files map[string]string) {
	GinkgoHelper()
	for name, content := range files {
		name = filepath.Join(g.dir, name)
		Expect(os.MkdirAll(filepath.Dir(name), 0o700)).To(Succeed())
		Expect(os.WriteFile(name, []byte(content), 0o600)).To(Succeed())
	}
}

// compiler is the C compiler that cgo uses, with its flags if it has any.
func (g goTool) compiler() string {
	GinkgoHelper()
	return strings.TrimSpace(g.must("env", "CC"))
}

// compiles runs the C compiler in the command's folder.
func (g goTool) compiles(args ...string) {
	GinkgoHelper()
	words := append(strings.Fields(g.compiler()), args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = g.dir
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", strings.Join(words, " "), out)
}

// needsCompiler skips a spec where cgo has no compiler.
func needsCompiler() {
	GinkgoHelper()
	if strings.TrimSpace(goTool{}.must("env", "CGO_ENABLED")) != "1" {
		fdtest.Missing(GinkgoTB(), "cgo is off: no C compiler ("+strings.TrimSpace(goTool{}.must("env", "CC"))+") in PATH")
	}
}

// runSuite runs a test binary of this package, and returns the specs that ran.
// The suite may fail, but it must end with a report.
func runSuite(bin string, env []string, args ...string) types.SpecReports {
	GinkgoHelper()
	report := filepath.Join(GinkgoT().TempDir(), "report.json")
	cmd := exec.Command(bin, append(args, "--test.run=^TestSuite$", "--ginkgo.json-report="+report)...)
	cmd.Env = append(append(os.Environ(), env...), fdtest.AloneVariable+"=1")
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(report)
	Expect(err).NotTo(HaveOccurred(), "%v\n%s", runErr, out)
	var suites []types.Report
	Expect(json.Unmarshal(text, &suites)).To(Succeed())
	Expect(suites).To(HaveLen(1))
	ran := suites[0].SpecReports.WithLeafNodeType(types.NodeTypeIt)
	return slices.DeleteFunc(ran, func(s types.SpecReport) bool {
		return s.State == types.SpecStateSkipped && s.Failure.Message == "" // not chosen
	})
}

// goPackage is what the house specs read of go list's answer.
type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
	CgoFiles   []string
	Deps       []string
}

// list is go list -json.
func (g goTool) list(args ...string) []goPackage {
	GinkgoHelper()
	out := g.must(append([]string{"list", "-json=ImportPath,Standard,Imports,CgoFiles,Deps"}, args...)...)
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		Expect(err).NotTo(HaveOccurred())
		packages = append(packages, p)
	}
}

// consumer is a module of somebody else's that uses this checkout of scm. Its
// program passes a descriptor to itself and prints the backend.
func consumer() string {
	GinkgoHelper()
	here, err := os.Getwd()
	Expect(err).NotTo(HaveOccurred())
	var gomod struct {
		Go      string
		Require []struct{ Path, Version string }
	}
	Expect(json.Unmarshal([]byte(goTool{}.must("mod", "edit", "-json")), &gomod)).To(Succeed())
	text := "module example.org/consumer\n\ngo " + gomod.Go + "\n\nrequire " + module + " v0.0.0\n"
	for _, r := range gomod.Require {
		if r.Path == "golang.org/x/sys" {
			text += "require " + r.Path + " " + r.Version + " // indirect\n"
		}
	}
	text += "replace " + module + " => " + here + "\n"
	sums, err := os.ReadFile("go.sum")
	Expect(err).NotTo(HaveOccurred())

	dir := GinkgoT().TempDir()
	for name, content := range map[string]string{"go.mod": text, "go.sum": string(sums), "main.go": consumerProgram} {
		Expect(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)).To(Succeed())
	}
	return dir
}

const consumerProgram = `package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/scm-rights/scm"
)

func main() {
	p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	if _, err := scm.WriteFD(p[0], []byte("x"), 0); err != nil {
		panic(err)
	}
	if _, fd, err := scm.ReadFD(p[1], make([]byte, 1)); err != nil || fd < 0 {
		panic(err)
	}
	m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: []int{0, 1}}
	if err := scm.Send(p[0], &m, 0); err != nil {
		panic(err)
	}
	if err := scm.Recv(p[1], &m, 0); err != nil || m.NFD != 2 {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, scm.Backend)
}
`
