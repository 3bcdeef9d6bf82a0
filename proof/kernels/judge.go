//go:build linux

package kernels

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/proof/must"
)

// A record contains the results of a kernel.
type record struct {
	Name, Arch, Release string
	Kernel              cases  // of the kernel scenarios
	Peers               *cases `json:",omitempty"` // of the built-in peers
}

// cases counts cases by their verdict.
type cases struct {
	report.Totals
	// Rules contains the scenarios that did not pass, by reason. Peer scenarios count only with the runner in both
	// roles, because then only the kernel can be the reason.
	Rules map[string][]string
}

// archiveCommand runs the archive of make dist, and leaves no report.
const archiveCommand = "archive"

// judge judges the report of a command, and fails if it cannot.
func (r *run) judge(command, file string) {
	switch command {
	case archiveCommand:
	case "kernel", "peers":
		r.judgeCases(command, file)
	default:
		r.judgeSpecs(command, file)
	}
}

// judgeCases judges the report of scm interop run.
func (r *run) judgeCases(command, file string) {
	all := must.Get(report.Read(file))
	r.Release = all.System.Identity().Release
	rules := map[string]string{} // by the case's scenario and type
	for _, c := range all.Cases {
		rule := ""
		switch c.Verdict {
		case scenario.Pass:
		case scenario.Expected:
			rule = "expected: " + withReleases(c.Reasons)
		case scenario.Unsupported:
			rule = "unsupported: " + c.Why
		default:
			lines := append([]string{c.Name + ": " + c.Verdict.String() + " " + c.Why}, c.Gone...)
			for _, f := range c.Findings {
				lines = append(lines, f.String())
			}
			r.problems = append(r.problems, strings.Join(lines, "\n\t"))
		}
		if name, ok := strings.CutSuffix(c.Name, "/runner/runner"); ok || c.Kernel() {
			rules[strings.TrimSuffix(name, "/kernel/kernel")] = rule
		}
	}
	c := cases{all.Kernel, byRule(rules)}
	if command == "kernel" {
		r.Kernel = c
	} else {
		c.Totals = all.Totals
		r.Peers = &c
	}
	if c.Pass == 0 {
		must.Failf("no case passed")
	}
}

// judgeSpecs judges the report of fdchannel's suite, in which Linux skips no spec but those for gVisor.
func (r *run) judgeSpecs(backend, file string) {
	var suites []types.Report
	must.OK(json.Unmarshal(must.Get(os.ReadFile(file)), &suites))
	passed := 0
	for _, suite := range suites {
		for _, s := range suite.SpecReports {
			switch {
			case s.State.Is(types.SpecStateFailureStates):
				r.problems = append(r.problems, fmt.Sprintf("fdchannel over %s: %s\n\t%s", backend, s.FullText(), s.FailureMessage()))
			case s.LeafNodeType != types.NodeTypeIt:
			case s.State == types.SpecStatePassed:
				passed++
			case !slices.Contains(s.Labels(), "gvisor"):
				r.problems = append(r.problems, fmt.Sprintf("fdchannel over %s: %s was skipped: %s", backend, s.FullText(), s.FailureMessage()))
			}
		}
	}
	if r.specs == nil {
		r.specs = map[string]int{}
	}
	r.specs[backend] = passed
	if passed == 0 {
		must.Failf("no spec passed")
	}
}

func inCI() bool { return os.Getenv("CI") == "true" }

// printAll prints the problems, the table and one line about all kernels. It fails if there are problems.
func printAll(list []*run, pages map[string]record) {
	fmt.Println()
	const row = "%-16s %-8s %18s %18s %8v %8v %6s\n"
	table := fmt.Sprintf("\n"+row, "", "", "kernel cases", "peer cases", "specs", "", "CPU") +
		fmt.Sprintf(row, "kernel", "machine", "p/e/u/unexpected", "p/e/u/unexpected", "purego", "cgo", "s")
	ran, problems, missing := 0, 0, 0
	for _, r := range list {
		r.compare(pages[r.Name])
		for _, p := range r.problems {
			problems++
			fmt.Printf("FAIL %s: %s\n", r.Name, p)
		}
		if r.cpu > 0 {
			ran++
			table += fmt.Sprintf(row, r.Name, r.Arch, &r.Kernel, r.Peers, r.specs["purego"], r.specs["cgo"], fmt.Sprintf("%.0f", r.cpu.Seconds()))
		}
		if r.missing != nil {
			missing++
			table += fmt.Sprintf("%-16s %-8s %v\n", r.Name, r.Arch, r.missing)
		}
	}
	fmt.Print(table, "p/e/u: passed, failed as expected, unsupported\n")
	fmt.Printf("kernels: %d run, %d problems, %d not run or only in part\n", ran, problems, missing)
	if ran == 0 {
		must.Failf("nothing was run")
	}
	if problems > 0 || missing > 0 && inCI() {
		must.Failf("not every kernel gave the expected results")
	}
}

func (c *cases) String() string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d/%d/%d", c.Pass, c.Expected, c.Unsupported, c.Unexpected()+c.NotRun)
}
