//go:build linux

package foreign

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
)

const row = "%-8s %-6s %-7s %-19s %6v %6v %7v %8v %6v  %6v %8v %6v %6v %6v\n"

// tell prints what was left out, what failed and the table, and whether all is well.
func tell(list []outcome) bool {
	tellLeftOut(list)
	for _, o := range list {
		for _, f := range slices.Concat(o.tests.failures, o.matrix.failures, o.kernel.failures) {
			fmt.Printf("FAIL %s: %s\n", o.name(), f)
		}
	}
	fmt.Println()
	fmt.Printf(row, "", "", "", "", "specs", "", "", "", "", "matrix", "", "", "", "")
	fmt.Printf(row, "arch", "libc", "backend", "run", "passed", "failed", "skipped", "left out", "time", "pass", "expected", "failed", "time", "kernel")
	archs, libcs := map[string]bool{}, map[string]bool{}
	specs, cases, failed, missing := 0, 0, 0, 0
	for _, o := range list {
		libc, how := o.Libc, "natively"
		if libc == "" {
			libc = "-"
		}
		if emulator, _ := o.emulator(); emulator != "" {
			how = filepath.Base(emulator)
		}
		if errors.Is(o.err, errMissing) {
			missing++
			fmt.Printf("%-8s %-6s %-7s %v\n", o.Arch, libc, o.backend(), o.err)
			continue
		}
		t, m := o.tests, o.matrix
		kernel := "-"
		if o.kernel.pass > 0 {
			kernel = fmt.Sprint(o.kernel.pass)
		}
		fmt.Printf(row, o.Arch, libc, o.backend(), how, t.passed, t.failed, t.skipped, t.leftOut, seconds(o.testTime),
			m.pass, m.expected, len(m.failures), seconds(o.matrixTime), kernel)
		if o.failed() {
			failed++
		}
		archs[o.Arch] = true
		if o.Libc != "" {
			libcs[o.Libc] = true
		}
		specs += t.passed
		cases += m.pass + o.kernel.pass
	}
	fmt.Printf("foreign: %d specs and %d cases passed, on %d architectures, %d libcs: %d platforms failed", specs, cases, len(archs), len(libcs), failed)
	if missing > 0 {
		fmt.Printf(", %d not run", missing)
	}
	fmt.Println()
	return failed == 0 && specs > 0 && (missing == 0 || os.Getenv("CI") != "true")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// tellLeftOut prints what did not run, and why.
func tellLeftOut(list []outcome) {
	fmt.Println()
	for _, l := range leftOut {
		where := ""
		if l.emulated {
			where = " under an emulator"
		}
		fmt.Printf("left out%s: specs with the label %s: %s\n", where, l.label, l.why)
	}
	fmt.Printf("left out under an emulator: the C library's own tests: %s\n", fdtest.NotCut)
	for _, e := range examples {
		where := ""
		if e.narrow {
			where = " with 32 bits"
		}
		fmt.Printf("left out under an emulator%s: %s: %s\n", where, e.names, e.why)
	}
	for _, s := range suites {
		if s.pure {
			fmt.Printf("left out under cgo: %s: it knows no backend\n", s.pkg)
		}
		if s.notEmulated != "" {
			fmt.Printf("left out under an emulator: the tests and the peer of %s: %s\n", s.pkg, s.notEmulated)
		}
	}
	for _, u := range unplayed {
		fmt.Printf("left out under an emulator: cases %s/*-PLATFORM: %s\n", u.pattern, u.why)
	}
	where := map[string][]string{}
	for _, o := range list {
		for reason, n := range o.tests.reasons {
			reason = "skipped: " + reason
			where[reason] = append(where[reason], fmt.Sprintf("%s %d", o.name(), n))
		}
		for reason, n := range o.matrix.unsupported {
			reason = "no case for the peer: " + reason
			where[reason] = append(where[reason], fmt.Sprintf("%s %d", o.name(), n))
		}
		for reason, n := range o.kernel.unsupported {
			reason = "no case for the kernel: " + reason
			where[reason] = append(where[reason], fmt.Sprintf("%s %d", o.name(), n))
		}
		if o.c != "" {
			fmt.Printf("%s: %s\n", o.name(), o.c)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(where)) {
		fmt.Printf("%s (%s)\n", reason, strings.Join(where[reason], ", "))
	}
}
