//go:build linux

package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/scm-rights/scm/internal/fdtest"
)

// A suite is the tests of a package.
type suite struct {
	pkg string
	// ginkgo: it is one of specs, of which those with a label of leftOut are not run.
	ginkgo bool
	// notEmulated is why an emulator cannot run it at all.
	notEmulated string
	// pure: it knows no backend, and is run on the one in pure Go alone.
	pure bool
}

var suites = []suite{
	{pkg: ".", ginkgo: true},
	{pkg: "./internal/torture", ginkgo: true},
	{pkg: "./internal/soak", ginkgo: true},
	{pkg: "./fdchannel", ginkgo: true, notEmulated: fdtest.NoBuffers},
	{pkg: "./wire", ginkgo: true},
	{pkg: "./internal/fdtest", pure: true},
	{pkg: "./internal/pure", pure: true},
}

// leftOut are the labels of specs that are not run, each with the reason.
var leftOut = []struct {
	label, why string
	emulated   bool // under an emulator alone
}{
	{"catalogue", "the matrix plays it, with the platform's own peers", false},
	{"build", "they ask the go command about the tree, and no program of the platform", false},
	{"house", "they ask the go command about the tree, and no program of the platform", false},
	{"mutants", "they test the tests, which are the same everywhere", false},
	{"gvisor", "they build gVisor's package by the go command, for the machine itself", false},
	{"real", "real programs are the machine's own, with its sizes and byte order", false},
	{"stress", "how many threads there are is the emulator's doing", true},
}

// mustPass are specs that have to have passed on every platform.
var mustPass = []string{
	"carries 253 descriptors in order",
	"is sendmsg and recvmsg, never socketcall",
}

// examples are those that an emulator cannot run, since an example cannot skip itself.
var examples = []struct {
	names, why string
	narrow     bool // with 32 bits alone
}{
	{"ExampleTruncatedError|ExampleExpect|ExampleSend|ExampleFormatError", fdtest.NotCut, false},
	{"ExampleReadFD", fdtest.NotCut, true}, // two descriptors in the pair's room
}

// hang is how long the tests of a package may take.
const hang = 5 * time.Minute

// count is the results of tests. Of those left out only the number is kept.
type count struct {
	passed, failed, skipped, leftOut int
	failures                         []string
	reasons                          map[string]int
}

func (c *count) skip(reason string) {
	if c.reasons == nil {
		c.reasons = map[string]int{}
	}
	c.reasons[reason]++
	c.skipped++
}

func (c *count) add(d count) {
	c.passed += d.passed
	c.failed += d.failed
	c.leftOut += d.leftOut
	c.failures = append(c.failures, d.failures...)
	for reason, n := range d.reasons {
		for range n {
			c.skip(reason)
		}
	}
}

// runSuites builds and runs the tests of all packages.
func (p platform) runSuites() (c count, err error) {
	for _, s := range suites {
		if s.notEmulated != "" && !p.Native() || s.pure && p.cc() != "" {
			continue
		}
		one, err := p.runSuite(s)
		if err != nil {
			return c, fmt.Errorf("%s: %w", s.pkg, err)
		}
		c.add(one)
	}
	return c, nil
}

func (p platform) runSuite(s suite) (c count, err error) {
	name := strings.ReplaceAll(strings.TrimPrefix(s.pkg, "./"), "/", "-")
	if s.pkg == "." {
		name = "scm"
	}
	bin, err := filepath.Abs(p.out(name + ".test"))
	if err != nil {
		return c, err
	}
	if err := p.goTool([]string{"test", "-c"}, "-o", bin, s.pkg); err != nil {
		return c, err
	}
	args := []string{"-test.v", "-test.timeout=" + hang.String()}
	report := bin + ".json"
	if !p.Native() {
		var names []string
		for _, e := range examples {
			if p.narrow() || !e.narrow {
				names = append(names, e.names)
			}
		}
		args = append(args, "-test.skip=^("+strings.Join(names, "|")+")$")
	}
	if s.ginkgo {
		if err := os.RemoveAll(report); err != nil {
			return c, err
		}
		args = append(args, "-ginkgo.no-color", "-ginkgo.label-filter="+p.filter(), "-ginkgo.json-report="+report)
	}
	command, err := p.command(bin, args...)
	if err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), hang+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = s.pkg
	if cmd.Env, err = p.environ(); err != nil {
		return c, err
	}
	text, failed := cmd.CombinedOutput()
	if err := os.WriteFile(bin+".out", text, 0o666); err != nil {
		return c, err
	}
	c.tests(string(text), s.ginkgo)
	if s.ginkgo {
		if err := c.specs(report, s.pkg == "."); err != nil {
			return c, fmt.Errorf("%w: %w; see %s.out", failed, err, bin)
		}
	}
	if failed != nil && c.failed == 0 {
		c.failed++
		c.failures = append(c.failures, fmt.Sprintf("%s: %v; see %s.out", s.pkg, failed, bin))
	}
	if c.passed == 0 {
		return c, errors.New("nothing passed; see " + bin + ".out")
	}
	return c, nil
}

// filter is Ginkgo's expression for all labels but those left out.
func (p platform) filter() string {
	var words []string
	for _, l := range leftOut {
		if !l.emulated || !p.Native() {
			words = append(words, "!"+l.label)
		}
	}
	return strings.Join(words, " && ")
}

// verdict is a line of what a test binary prints with -test.v.
var verdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+)`)

// tests counts the tests without subtests, and of a Ginkgo suite's not the one that hooks it up.
func (c *count) tests(text string, ginkgo bool) {
	lines := verdict.FindAllStringSubmatch(text, -1)
	for _, line := range lines {
		name := line[2]
		if ginkgo && name == "TestSuite" ||
			slices.ContainsFunc(lines, func(l []string) bool { return strings.HasPrefix(l[2], name+"/") }) {
			continue
		}
		switch line[1] {
		case "PASS":
			c.passed++
		case "FAIL":
			c.failed++
			c.failures = append(c.failures, name)
		default:
			c.skip("go test: " + name + ": " + skipReason(text, name))
		}
	}
}

// skipReason is the line before a test's verdict.
func skipReason(text, name string) string {
	before, _, _ := strings.Cut(text, "--- SKIP: "+name+" ")
	lines := strings.Split(strings.TrimSpace(before), "\n")
	_, reason, _ := strings.Cut(lines[len(lines)-1], ": ")
	return strings.TrimSpace(reason)
}

// tail is what of the reason for a skip is another one each time.
var tail = regexp.MustCompile(`: (\w+ \w+( @?\S+)?: )?setsockopt: .*`)

func short(reason string) string { return tail.ReplaceAllString(reason, "") }

// ofBeforeAll is what Ginkgo gives as the reason to all but the first spec of those that a BeforeAll
// has skipped.
const ofBeforeAll = "Spec skipped because Skip() was called in BeforeAll"

// specs counts those of a Ginkgo suite from its report.
func (c *count) specs(report string, root bool) error {
	text, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	var reports []types.Report
	if err := json.Unmarshal(text, &reports); err != nil {
		return err
	}
	passed := map[string]bool{}
	last := "" // the reason of the spec before
	for _, r := range reports {
		for _, s := range r.SpecReports {
			reason := s.FailureMessage()
			if reason == ofBeforeAll {
				reason = last
			}
			last = reason
			switch {
			case s.State == types.SpecStateSkipped && reason == "":
				c.leftOut++
			case s.State == types.SpecStateSkipped:
				c.skip(short(reason))
			case s.State.Is(types.SpecStateFailureStates):
				c.failed++
				c.failures = append(c.failures, s.FullText()+": "+firstLine([]byte(reason)))
			case s.State == types.SpecStatePassed && s.LeafNodeType == types.NodeTypeIt:
				c.passed++
				passed[s.LeafNodeText] = true
			}
		}
	}
	if !root {
		return nil
	}
	for _, name := range mustPass {
		if !passed[name] {
			c.failed++
			c.failures = append(c.failures, "did not run: "+name)
		}
	}
	return nil
}
