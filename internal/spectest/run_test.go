//go:build unix && !aix

package spectest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
)

// toysVariable is set in a process that runs the toys: a suite whose specs end in all ways.
const toysVariable = "SCM_TEST_TOYS"

var _ = os.Getenv(toysVariable) == "" || ginkgo.Describe("it", func() {
	ginkgo.It("passes", func() {})
	for range 2 {
		ginkgo.It("fails on it's [a] $(b)/c", func() { ginkgo.Fail("too bad") })
	}
	ginkgo.It("panics", func() { panic("oh") })
	ginkgo.It("is pending", ginkgo.Pending, func() {})
	ginkgo.It("needs tea", func() { ginkgo.Skip("the kettle is cold") })
	ginkgo.It("fails later", func() {})
	ginkgo.It("exits", ginkgo.Label("exits"), func() { os.Exit(1) })
	ginkgo.Describe("ordered", ginkgo.Ordered, func() {
		opened := false
		ginkgo.BeforeAll(func() { opened = true })
		ginkgo.It("first", func() {})
		ginkgo.It("second", func() { gomega.Expect(opened).To(gomega.BeTrue()) })
	})
	ginkgo.Describe("without milk", ginkgo.Ordered, func() {
		ginkgo.BeforeAll(func() { ginkgo.Skip("no milk") })
		ginkgo.It("first", func() {})
		ginkgo.It("second", func() {})
	})
})

var _ = os.Getenv(toysVariable) == "" || ginkgo.BeforeSuite(func() {
	ginkgo.DeferCleanup(func() {
		fmt.Println("cleaning up")
		ginkgo.Fail("at the end")
	})
})

func TestToys(t *testing.T) {
	if os.Getenv(toysVariable) == "" {
		t.Skip("TestRun runs it in another process")
	}
	ginkgo.ReportAfterEach(func(s ginkgo.SpecReport) {
		if s.LeafNodeText == "fails later" && s.NumAttempts > 0 && s.State == types.SpecStatePassed {
			ginkgo.Fail("late")
		}
	})
	Run(t, "toys")
}

// toys runs the toys in another process, and returns what it printed. As for go test -json, it marks each line of
// package testing.
func toys(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-test.v=test2json", "-ginkgo.seed=1"}, args...)...)
	cmd.Env = append(os.Environ(), toysVariable+"=1")
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// ends returns how the tests ended, in the order in which they did, and the first line that each of them logged.
func ends(out string) (lines []string) {
	ended, log := regexp.MustCompile(`^ *--- (\w+): TestToys/?(\S*) `), regexp.MustCompile(`    run\.go:\d+:( .*)`)
	logged := ""
	for part := range strings.SplitSeq(out, "\x16") {
		if m := ended.FindStringSubmatch(part); m != nil {
			lines = append(lines, strings.TrimSpace(m[1]+" "+m[2]+logged))
			logged = ""
		} else if m := log.FindStringSubmatch(part); m != nil {
			logged = m[1]
		}
	}
	return lines
}

func TestRun(t *testing.T) {
	const name, passes, second = "-test.run=^TestToys$", "PASS it_passes", "PASS it_ordered_second"
	again, _, _ := strings.Cut("to run it again: "+again("TestToys"), "$'")
	first := `FAIL it_fails_on_it's_[a]_$(b)/c ` + again + `$/^it_fails_on_it.s_\[a\]_\$\(b\)$/^c$'`
	for what, c := range map[string]struct{ args, want []string }{
		"all": {[]string{name, "-ginkgo.label-filter=!exits"}, []string{
			passes,
			first,
			strings.NewReplacer("c ", "c#01 ", "c$'", "c#01$'").Replace(first),
			"FAIL it_panics " + again + "$/^it_panics$'",
			"SKIP it_is_pending",
			"SKIP it_needs_tea the kettle is cold",
			"FAIL it_fails_later " + again + "$/^it_fails_later$'",
			"PASS it_ordered_first",
			second,
			"SKIP it_without_milk_first no milk",
			"SKIP it_without_milk_second no milk",
			"FAIL",
		}},
		"-run": {[]string{"-test.run=TestToys/it (passes|ordered second)"}, []string{passes, second, "FAIL"}},
		"-skip": {[]string{name, "-test.skip=TestToys/it (fails|pan|is|needs|ordered f|exits|without)"},
			[]string{passes, second, "FAIL"}},
		"-failfast":          {[]string{name, "-test.failfast"}, []string{passes, first, "FAIL"}},
		"a dry run":          {[]string{name, "-ginkgo.dry-run"}, []string{"SKIP  no spec ran"}},
		"no spec for -run":   {[]string{name + "/none"}, []string{"FAIL"}},
		"no spec for Ginkgo": {[]string{name, "-ginkgo.focus=none"}, []string{"SKIP it_is_pending", "FAIL"}},
	} {
		out := toys(t, c.args...)
		if got, want := strings.Join(ends(out), "\n"), strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s\nIt printed\n%s", what, got, want, out)
		}
	}
}

// A spec that ends its process is the last test that has begun. What Ginkgo prints about a spec belongs to its test,
// but not what it prints about the suite.
func TestOutput(t *testing.T) {
	_, exits, _ := strings.Cut(toys(t, "-test.run=^TestToys$/exits"), "=== RUN   TestToys/")
	_, panics, _ := strings.Cut(toys(t, "-test.run=^TestToys$/panics"), "=== RUN   TestToys/it_panics\n")
	panics, end, _ := strings.Cut(panics, "\x16")
	if exits != "it_exits\n" || !strings.Contains(panics, "[PANICKED] Test Panicked") ||
		strings.Contains(panics, "at the end") || !strings.Contains(end, "[FAILED] at the end") {
		t.Errorf("%q, %q, %q", exits, panics, end)
	}
	// The last test ends before the suite cleans up, which may look for goroutines.
	out := toys(t, "-test.run=^TestToys$/without milk second")
	if _, after, cleans := strings.Cut(out, "cleaning up\n"); !cleans || strings.Contains(after, "TestToys/") {
		t.Errorf("after the suite has begun to clean up: %q", after)
	}
}

func TestAgain(t *testing.T) {
	if command := again("TestToys"); !strings.Contains(command, " -count=1 ") {
		t.Errorf("%s: go test could print an old result", command)
	}
}
