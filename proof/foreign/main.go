//go:build linux

// Package foreign runs the tests on platforms with a different architecture or a different libc than the
// machine's own. If necessary, it uses qemu-user.
//
// On each platform, `go test -exec` runs the tests (tests.go). If the machine runs the platform's programs
// without an emulator, the machine's own runner then runs the catalogue with the platform's peers and the
// machine's own, and the platform's runner runs the kernel scenarios (matrix.go). Package kernels runs
// the kernel scenarios on real kernels of other architectures.
//
// The output lists everything that was left out or skipped, with the reason, and ends with a table. If a
// tool for a platform is missing, the platform is listed as not run. With CI=true that is an error.
package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// A platform combines a target with a backend. If the backend is pure Go, the target has no libc and
// no compiler.
type platform struct {
	target.Target
	tests, matrix, kernel count
	testTime, matrixTime  time.Duration
	err                   error
}

// A count tallies the results of tests or cases, and lists the failures.
type count struct {
	passed, expected, leftOut int
	failures                  []string
	skips                     map[string]int // by reason
}

func (c *count) skip(reason string) {
	if c.skips == nil {
		c.skips = map[string]int{}
	}
	c.skips[reason]++
}

func (c *count) skipped() (n int) {
	for _, times := range c.skips {
		n += times
	}
	return n
}

// cc returns the platform's compiler in the form that make and the go command expect, or "".
func (p *platform) cc() string { return strings.Join(p.Compiler, " ") }

func (p *platform) name() string { return p.Arch + "-" + cmp.Or(p.Libc, "purego") }

// out returns the absolute path of a file that is built for the platform.
func (p *platform) out(name string) string {
	path, _ := filepath.Abs(filepath.Join("build/foreign", p.name(), name)) // the current folder exists
	return path
}

// is32Bit reports whether pointers have 32 bits. The control buffer of ReadFD has space for one descriptor on
// 32-bit platforms, and for two on others.
func (p *platform) is32Bit() bool { return slices.Contains([]string{"386", "arm", "mips"}, p.Arch) }

// Each constant selects the platforms to which an entry of leftOut applies.
const (
	everywhere = ""
	emulated   = " under an emulator"
	on32Bits   = " under an emulator with 32 bits"
	withC      = " under cgo"
)

// leftOut lists what does not run on some platforms. The reasons are printed.
var leftOut = []struct{ where, kind, what, why string }{
	{everywhere, "specs with the label", "catalogue", "left to the matrix and make proof-kernels"},
	{everywhere, "specs with the label", "build", "they test the tree with the go command, and run no program of the platform"},
	{everywhere, "specs with the label", "tree", "they test the tree with the go command, and run no program of the platform"},
	{everywhere, "specs with the label", "mutants", "they test the tests, which are the same everywhere"},
	{everywhere, "specs with the label", "gvisor", "they build gVisor's package with the go command, for the machine itself"},
	{everywhere, "specs with the label", "real", "real programs are the machine's own, with its sizes and byte order"},
	{emulated, "specs with the label", "stress", "the emulator determines the number of threads"},
	{emulated, "the tests of", "csrc", fdtest.NotCut},
	// An example cannot skip itself.
	{emulated, "examples", "ExampleTruncatedError|ExampleMessage_Files|ExampleExpect|ExampleSend|ExampleFormatError", fdtest.NotCut},
	{emulated, "examples", "ExampleExpect_Enforce_truncated", fdtest.NotCut},
	{on32Bits, "examples", "ExampleReadFD", fdtest.NotCut}, // it receives two descriptors with ReadFD
	{withC, "the tests of", "./internal/fdtest", "it uses no backend"},
	{withC, "the tests of", "./internal/pure", "it uses no backend"},
	{emulated, "the tests of", "./fdchannel", fdtest.NoBuffers},
}

// leavesOut returns the entries of a kind that are left out on the platform.
func (p *platform) leavesOut(kind string) (list []string) {
	applies := map[string]bool{
		everywhere: true,
		emulated:   !p.Native(),
		on32Bits:   !p.Native() && p.is32Bit(),
		withC:      p.cc() != "",
	}
	for _, l := range leftOut {
		if l.kind == kind && applies[l.where] {
			list = append(list, l.what)
		}
	}
	return list
}

// Prove runs the tests on the platforms of the given architectures, or on all platforms if archs is empty. On
// platforms that need no emulator, it also runs the matrix.
func Prove(archs []string) {
	var list []*platform
	for _, t := range target.All() {
		if !t.Foreign || len(archs) > 0 && !slices.Contains(archs, t.Arch) {
			continue
		}
		list = append(list, &platform{Target: t})
		if t.Arch != runtime.GOARCH {
			t.Libc, t.Compiler = "", nil
			list = append(list, &platform{Target: t})
		}
	}
	for _, arch := range archs {
		if !slices.ContainsFunc(list, func(p *platform) bool { return p.Arch == arch }) {
			must.Failf("%s is not the architecture of a platform", arch)
		}
	}
	native.build("csrc")
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for _, p := range list {
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer wait.Done()
			p.err = must.Try(p.run)
			what := cmp.Or(p.err, fmt.Errorf("%d failed", len(p.failures())))
			fmt.Printf("foreign: %s: %v, %.0f s\n", p.name(), what, (p.testTime + p.matrixTime).Seconds())
			<-slots
		}()
	}
	wait.Wait()
	printAll(list)
}

// run fails if something is missing, or if a part of the run gave no results.
func (p *platform) run() {
	must.Get(p.Emulator())
	// The specs about system calls need strace. They are skipped under an emulator.
	if _, err := exec.LookPath("strace"); err != nil && p.Native() {
		must.Failf("%w: %w", target.ErrMissing, err)
	}
	if p.cc() != "" {
		must.OK(target.Compiles(append(slices.Clone(p.Compiler), "-static")...))
	}
	started := time.Now()
	defer func() { p.matrixTime = time.Since(started) - p.testTime }()
	err := must.Try(p.runTests)
	p.testTime = time.Since(started)
	must.OK(err)
	if p.Native() {
		p.runMatrix()
	}
}

func (p *platform) failures() []string {
	return slices.Concat(p.tests.failures, p.matrix.failures, p.kernel.failures)
}

// printAll prints everything that was left out, the failures and the table. It fails if a platform failed.
func printAll(list []*platform) {
	fmt.Println()
	for _, l := range leftOut {
		fmt.Printf("left out%s: %s %s: %s\n", l.where, l.kind, l.what, l.why)
	}
	where := map[string][]string{}
	for _, p := range list {
		for what, c := range map[string]count{
			"skipped: ":                p.tests,
			"no case for the peer: ":   p.matrix,
			"no case for the kernel: ": p.kernel,
		} {
			for reason, n := range c.skips {
				where[what+reason] = append(where[what+reason], fmt.Sprintf("%s %d", p.name(), n))
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(where)) {
		fmt.Printf("%s (%s)\n", reason, strings.Join(where[reason], ", "))
	}
	for _, p := range list {
		for _, f := range p.failures() {
			fmt.Printf("FAIL %s: %s\n", p.name(), f)
		}
	}
	const row = "%-8s %-6s %-7s %-19s %6v %6v %7v %8v %6v  %6v %8v %6v %6v %6v\n"
	fmt.Printf("\n"+row, "", "", "", "", "specs", "", "", "", "", "matrix", "", "", "", "")
	fmt.Printf(row, "arch", "libc", "backend", "run", "passed", "failed", "skipped", "left out", "time", "pass", "expected", "failed", "time", "kernel")
	archs, libcs := map[string]bool{}, map[string]bool{}
	specs, cases, failed, missing := 0, 0, 0, 0
	for _, p := range list {
		libc, backend := "-", "purego"
		if p.Libc != "" {
			libc, backend = p.Libc, "cgo"
		}
		if errors.Is(p.err, target.ErrMissing) {
			missing++
			fmt.Printf("%-8s %-6s %-7s %v\n", p.Arch, libc, backend, p.err)
			continue
		}
		how := "natively"
		matrix := []any{p.matrix.passed, p.matrix.expected, len(p.matrix.failures), seconds(p.matrixTime), p.kernel.passed}
		if emulator, _ := p.Emulator(); emulator != "" {
			how = filepath.Base(emulator)
			matrix = []any{"-", "-", "-", "-", "-"}
		}
		fmt.Printf(row, append([]any{p.Arch, libc, backend, how, p.tests.passed, len(p.tests.failures), p.tests.skipped(), p.tests.leftOut,
			seconds(p.testTime)}, matrix...)...)
		if p.err != nil || len(p.failures()) > 0 {
			failed++
		}
		archs[p.Arch], libcs[p.Libc] = true, true
		specs += p.tests.passed
		cases += p.matrix.passed + p.kernel.passed
	}
	delete(libcs, "")
	fmt.Printf("foreign: %d specs and %d cases passed, on %d architectures, %d libcs: %d platforms failed, %d not run\n",
		specs, cases, len(archs), len(libcs), failed, missing)
	if failed > 0 || specs == 0 || missing > 0 && os.Getenv("CI") == "true" {
		must.Failf("a platform failed, or did not run")
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
