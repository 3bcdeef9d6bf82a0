//go:build linux && !purego && !scm_purego

package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Specs that run the go command do not depend on the backend of the test binary, so they are not
// built with the tag scm_purego.

const module = "github.com/scm-rights/scm"

// goTool runs the go command in a folder, with changes to the environment.
type goTool struct {
	dir string
	env []string
}

// run returns the output of the command, and an error if it failed.
func (g goTool) run(args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = g.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isBuildVariable), g.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// isBuildVariable reports whether an environment variable affects builds. Specs set these variables themselves.
func isBuildVariable(v string) bool {
	name, _, _ := strings.Cut(v, "=")
	switch name {
	case "CGO_ENABLED", "GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOWORK":
		return true
	}
	return false
}

// must returns the output of the command, which must succeed.
func (g goTool) must(args ...string) string {
	GinkgoHelper()
	stdout, stderr, err := g.run(args...)
	Expect(err).NotTo(HaveOccurred(), "go %s\n%s%s", strings.Join(args, " "), stdout, stderr)
	return stdout
}

// writeFiles writes files to the command's folder.
func (g goTool) writeFiles(files map[string]string) {
	GinkgoHelper()
	for name, content := range files {
		name = filepath.Join(g.dir, name)
		Expect(os.MkdirAll(filepath.Dir(name), 0o700)).To(Succeed())
		Expect(os.WriteFile(name, []byte(content), 0o600)).To(Succeed())
	}
}

// variable returns the value of a variable of go env.
func (g goTool) variable(name string) string {
	GinkgoHelper()
	return strings.TrimSpace(g.must("env", name))
}

// csrc runs make in the folder of the C library, and builds in another folder.
type csrc struct {
	build string
	env   []string
}

func (c csrc) run(target string, args ...string) (string, error) {
	GinkgoHelper()
	fdtest.Program(GinkgoTB(), "make")
	cmd := exec.Command("make", append([]string{"-C", "csrc", target, "CC=" + goTool{}.variable("CC"), "BUILD=" + c.build}, args...)...)
	cmd.Env = append(fdtest.WithoutMake(), c.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c csrc) must(target string, args ...string) string {
	GinkgoHelper()
	out, err := c.run(target, args...)
	Expect(err).NotTo(HaveOccurred(), out)
	return out
}

// output returns the output of a command, which must succeed.
func output(cmd *exec.Cmd) string {
	GinkgoHelper()
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", cmd, out)
	return string(out)
}

// contents returns the contents of a file.
func contents(file string) string {
	GinkgoHelper()
	text := ok(os.ReadFile(file))
	return string(text)
}

// filesBelow returns the paths of all files below a folder, relative to it. Of the tree itself, it leaves out build.
func filesBelow(dir string) (names []string) {
	GinkgoHelper()
	Expect(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path == "build" && err == nil && d.IsDir() {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || path == "build" { // build can be a link to a directory elsewhere
			return err
		}
		if dir != "." { // or .github would lose its dot
			path = strings.TrimPrefix(path, dir)
		}
		names = append(names, path)
		return nil
	})).To(Succeed())
	return names
}

// treeFiles returns the paths of the tree's files that end in this suffix.
func treeFiles(suffix string) []string {
	GinkgoHelper()
	return slices.DeleteFunc(filesBelow("."), func(name string) bool { return !strings.HasSuffix(name, suffix) })
}

// linked returns a folder that contains only links to these programs in PATH.
func linked(names ...string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	for _, name := range names {
		Expect(os.Symlink(fdtest.Program(GinkgoTB(), name), filepath.Join(dir, name))).To(Succeed())
	}
	return dir
}

// needsCompiler skips the spec if cgo has no compiler.
func needsCompiler() {
	GinkgoHelper()
	if (goTool{}).variable("CGO_ENABLED") != "1" {
		fdtest.Missing(GinkgoTB(), fdtest.Compiler, "cgo is disabled: no C compiler ("+goTool{}.variable("CC")+") in PATH")
	}
}

// goPackage has the fields of go list's output that the specs use.
type goPackage struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
	Deps       []string
}

// list returns the output of go list -json.
func (g goTool) list(args ...string) []goPackage {
	GinkgoHelper()
	out := g.must(append([]string{"list", "-json=ImportPath,Imports,CgoFiles,Deps"}, args...)...)
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

// consumer makes a module that imports this checkout of scm, and returns its folder. Its
// program passes a descriptor to itself and prints the backend.
func consumer() string {
	GinkgoHelper()
	here := ok(os.Getwd())
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
	text += "replace " + module + " => " + strconv.Quote(here) + "\n"
	sums := ok(os.ReadFile("go.sum"))

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

// ok returns the value of a call, which must succeed.
func ok[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}
