//go:build linux

package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/events"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// packages lists the packages with tests, and plain lists the ones that do not use Ginkgo.
var (
	packages = []string{".", "./proof/torture", "./fdchannel", "./wire", "./internal/fdtest", "./internal/pure"}
	plain    = []string{"./internal/fdtest", "./internal/pure"}
)

// mustPass lists specs that must pass on every platform.
var mustPass = []string{
	"Send_and_Recv_pass_253_descriptors_in_order",
	"sends_and_receives_make_direct_system_calls,_and_never_use_socketcall",
}

// runTests runs the tests of all packages, and csrc's own.
func (p *platform) runTests() {
	must.OK(os.MkdirAll(p.out(""), 0o777))
	var passed []string
	for _, pkg := range packages {
		if !slices.Contains(p.leavesOut("the tests of"), pkg) {
			if err := must.Try(func() { passed = append(passed, p.runPackage(pkg)...) }); err != nil {
				p.tests.failures = append(p.tests.failures, fmt.Sprintf("%s: %v", pkg, err))
			}
		}
	}
	for _, name := range mustPass {
		if !slices.ContainsFunc(passed, func(spec string) bool { return strings.HasSuffix(spec, name) }) {
			p.tests.failures = append(p.tests.failures, "did not run: "+name)
		}
	}
	if p.cc() == "" {
		return
	}
	if err := must.Try(p.compareBackends); err != nil {
		p.tests.failures = append(p.tests.failures, fmt.Sprintf("the walk of proof/identity: %v", err))
	}
	if p.Native() {
		p.makeC("csrc", "BUILD="+p.out("csrc-tests"), "LDFLAGS=", "test")
		fmt.Printf("foreign: %s: the tests of csrc passed\n", p.name())
	}
}

// compareBackends makes the calls of every size, and random ones, with each backend, and compares what the calls return
// and which descriptors they leave open.
func (p *platform) compareBackends() {
	emulator := must.Get(p.Emulator())
	purego := &platform{Target: target.Target{Arch: p.Arch}}
	var programs []string
	for _, b := range []*platform{p, purego} {
		program := p.out("walk-" + b.name())
		args := append([]string{"build", "-C", "proof", "-o", program}, b.buildFlags()...)
		must.Run(target.Go(p.Arch, b.cc(), append(args, "./identity/walk")...))
		programs = append(programs, program)
	}
	for _, args := range [][]string{{"sizes"}, {"1", "4096"}} {
		var printed [2][]string
		for i, program := range programs {
			command := slices.DeleteFunc(slices.Concat([]string{emulator, program}, args), func(s string) bool { return s == "" })
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Dir = must.Get(os.MkdirTemp(p.out(""), "walk"))
			text, err := cmd.Output()
			if err := errors.Join(err, os.RemoveAll(cmd.Dir)); err != nil {
				must.Failf("%s: %w", strings.Join(command, " "), err)
			}
			printed[i] = strings.Split(string(text), "\n")
		}
		if err := difference(printed[0], printed[1]); err != nil {
			must.Failf("walk %s: %w", strings.Join(args, " "), err)
		}
	}
}

// difference describes the first difference between what the walk printed with csrc and in Go.
func difference(c, pure []string) error {
	step := ""
	for i := range min(len(c), len(pure)) {
		if c[i] != pure[i] {
			return fmt.Errorf("%s\ncsrc: %s\n  Go: %s", step, c[i], pure[i])
		}
		if !strings.HasPrefix(c[i], "\t") {
			step = c[i]
		}
	}
	if len(c) != len(pure) || len(c) < 1000 {
		return fmt.Errorf("%d lines with csrc, %d in Go", len(c), len(pure))
	}
	return nil
}

// buildFlags returns the go command's flags for the platform. Programs that use cgo are linked statically,
// because this machine has no shared libraries for the platform. They use the pure Go versions of packages net
// and os/user.
func (p *platform) buildFlags() []string {
	if p.cc() == "" {
		return []string{"-tags=scm_purego"}
	}
	return []string{"-tags=netgo,osusergo", "-ldflags=-extldflags=-static"}
}

// runPackage runs the tests of a package, and returns those that passed.
func (p *platform) runPackage(pkg string) []string {
	log := p.out(strings.ReplaceAll(filepath.Clean(pkg), "/", "-") + ".out")
	emulator := must.Get(p.Emulator())
	dir, path := target.Folder(".", pkg)
	args := append([]string{"test", "-C", dir, "-json", "-count=1", "-vet=off", "-timeout=5m"}, p.buildFlags()...)
	if emulator != "" {
		args = append(args, "-exec="+emulator)
	}
	args = append(args, path)
	if examples := p.leavesOut("examples"); len(examples) > 0 {
		args = append(args, "-skip=^("+strings.Join(examples, "|")+")$")
	}
	if !slices.Contains(plain, pkg) {
		args = append(args, "-ginkgo.label-filter=!"+strings.Join(p.leavesOut("specs with the label"), " && !"))
	}
	cmd := target.Go(p.Arch, p.cc(), args...)
	// CI is empty so that a spec is skipped if its tool is missing. run has already checked for the
	// tools that the platform needs.
	cmd.Env = append(cmd.Env, "SCM_TEST_ALONE=1", "CI=", fdtest.EmulatorVariable+"="+emulator)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, failed := cmd.Output()
	must.OK(os.WriteFile(log, append(text, stderr.Bytes()...), 0o666))
	before, failures := p.tests.passed, len(p.tests.failures)
	passed, err := p.tests.addTests(text)
	if err != nil {
		must.Failf("%w: %w; see %s", failed, err, log)
	}
	if failed != nil && len(p.tests.failures) == failures {
		must.Failf("%w; see %s", failed, log)
	}
	if p.tests.passed == before {
		must.Failf("nothing passed; see %s", log)
	}
	return passed
}

// tail matches the part of a reason for a skip that is different each time.
var tail = regexp.MustCompile(`: (\w+ \w+( @?\S+)?: )?setsockopt: .*`)

// addTests counts the tests and specs in the events of go test, except for other subtests, and returns those that
// passed.
func (c *count) addTests(text []byte) (passed []string, err error) {
	tests, err := events.Read(text)
	for _, t := range tests {
		spec, isSpec := strings.CutPrefix(t.Name, "TestSuite/")
		switch {
		case t.Name == "TestSuite":
			run, all := t.Planned()
			c.leftOut += all - run
		case strings.Contains(t.Name, "/") && !isSpec:
		case t.State == "pass":
			c.passed++
			passed = append(passed, spec)
		case t.State == "skip" && isSpec:
			c.skip(tail.ReplaceAllString(t.Why(), ""))
		case t.State == "skip":
			c.skip("go test: " + t.Name + ": " + t.Why())
		default:
			c.failures = append(c.failures, spec+"\n"+t.Output)
		}
	}
	return passed, err
}
