// Command gotest counts the tests in the logs of tools/part.sh: specs instead of a Ginkgo suite, subtests instead of
// their parent, and the lines "ok NAME", "not ok NAME" and "skip NAME: REASON" of other programs.
//
//	gotest [-failed N] TITLE LOG…
//
// It prints the output of the packages that failed, the counts of each log, the failed tests, and how to multiply time
// limits if one was reached. If the suite of package scm ran, a table has the specs with each partner and the other
// tests of cgo.log and purego.log. Then it prints which parts and partners were skipped, what is missing to run the
// rest (tools, or root), a sentence about the specs with C and Rust, and `N passed, N failed, N skipped`, with at
// least N failures. gotest fails unless every part ran, every part that uses go test had a test, and
// nothing failed.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	least := flag.Int("failed", 0, "")
	flag.Parse()
	if !verdict(os.Stdout, flag.Arg(0), *least, flag.Args()[1:]) {
		os.Exit(1)
	}
}

// A part is the result of a part of the tests.
type part struct {
	passed, failed, skipped int
	red                     []string         // the failed tests
	missing                 []string         // the tools, or root
	skips                   []string         // the parts and partners that did not run, with the reasons
	scores                  map[string]score // of the specs with each partner
	output                  string           // of the packages that failed
}

func (p *part) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", p.passed, p.failed, p.skipped)
}

func (p *part) fail(name string) { p.failed, p.red = p.failed+1, append(p.red, name) }

var (
	end    = regexp.MustCompile(`^(ok  |FAIL|\?   )\t(\S+)`)
	result = regexp.MustCompile(`(?m)^((?: {4})*)--- (PASS|FAIL|SKIP): (\S+)`)
	began  = regexp.MustCompile(`(?m)^=== RUN +(.+)|^-{30}\n(.+)\n.+_test\.go:\d+$`) // the second with -ginkgo.v
	noise  = regexp.MustCompile(`(?m)^(=== |\s*--- PASS).*\n`)
	filter = regexp.MustCompile(`-ginkgo\.(label-filter|focus|skip)`)
	suite  = regexp.MustCompile(`(\d+) Passed \| (\d+) Failed \| (\d+) Pending \| (\d+) Skipped`)
	spec   = regexp.MustCompile(`(?m)^  \[(?:FAIL|PANICKED!|TIMEDOUT|INTERRUPTED|ABORTED)\] (.*(?:\n  /\S+:\d+$)?)`)
	colour = regexp.MustCompile("\x1b\\[[0-9;]*m")
	lack   = regexp.MustCompile(`(?m)^(?:skip: (?:\S+: )?| +\S+\.go:\d+: )(?:(?:missing: )?no (C compiler|[^ ,]+).* in PATH.*|missing: (.*?)|(\S+ \S+ is older than .*?)|.*(?:only root can|needs root).*)(?: \(specs: \d+\))?$`)
	late   = regexp.MustCompile(`(?m)^panic: test timed out after (\S+)\n(?:\trunning tests:\n((?:\t\t.*\n)+))?|^\*\*\* Test killed.*: ran too long \((\S+)\)`)
	limit  = regexp.MustCompile(`time limit of \d|\[TIMEDOUT\]`) // of a package or a program; of a spec
	status = regexp.MustCompile(`(?m)^\S+: (exit status (\d+))\n\z`)
)

// count counts the tests in a log. Its first line is the command.
func count(text string) *part {
	p, heading, log := &part{}, "", colour.ReplaceAllString(strings.ReplaceAll(text, "\r", ""), "")
	command, _, _ := strings.Cut(log, "\n")
	goTest, filtered := strings.Contains(command, " test -C "), filter.MatchString(command)
	var block strings.Builder // the output of a package
	for line := range strings.Lines(log) {
		block.WriteString(line)
		word, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch m := end.FindStringSubmatch(line); {
		case m != nil:
			p.pkg(block.String(), m[1], strings.TrimPrefix(m[2], "github.com/scm-rights/"), filtered)
			block.Reset()
		case goTest:
		case word == "ok":
			p.passed++
		case word == "not" && strings.HasPrefix(name, "ok "):
			p.fail(strings.TrimPrefix(heading+": "+name[3:], ": "))
		case word == "skip:":
			p.skips = append(p.skips, name)
			if tool, found := strings.CutSuffix(name, ": not found"); found {
				p.missing = append(p.missing, tool)
			}
			p.skipped++
		case word == "skip":
			p.skipped++
		case word == "#":
			heading = name
		}
	}
	for _, m := range lack.FindAllStringSubmatch(log+p.readPartners(log), -1) {
		p.missing = append(p.missing, cmp.Or(m[1], m[2], m[3], "root"))
	}
	if m := status.FindStringSubmatch(log); m == nil {
		p.fail("did not run to its end")
	} else if m[2] != "0" && p.failed == 0 {
		p.fail(strings.TrimPrefix(heading+": ", ": ") + m[1])
	} else if goTest && p.passed+p.failed+p.skipped == 0 {
		p.fail("ran no test")
	} else {
		block.Reset()
	}
	p.output += noise.ReplaceAllString(block.String(), "")
	return p
}

// pkg counts the tests of a package in its output. If a filter selected specs, Ginkgo counts the others as skipped.
func (p *part) pkg(block, word, name string, filtered bool) {
	before, results := *p, result.FindAllStringSubmatch(block, -1)
	var n [5]int
	totals := suite.FindStringSubmatch(block)
	for i, text := range totals {
		n[i], _ = strconv.Atoi(text)
	}
	for i, m := range results {
		child, redChild := false, false // go test prints them after their parent
		for _, c := range results[i+1:] {
			is := len(c[1]) > len(m[1]) && strings.HasPrefix(c[3], m[3]+"/") // a name can contain a "/" itself
			child, redChild = child || is, redChild || is && c[2] == "FAIL"
		}
		switch {
		case len(m[1]) > 4*strings.Count(m[3], "/") || m[1] == "" && strings.Contains(m[3], "/"): // in the output of a test
		case m[3] == "TestSuite" && totals != nil:
			if filtered {
				n[3], n[4] = 0, 0
			}
			p.passed, p.skipped = p.passed+n[1], p.skipped+n[3]+n[4]
			if m[2] == "PASS" && n[1]+n[3]+n[4] == 0 {
				p.fail(name + " ran no spec")
			}
			listed := spec.FindAllStringSubmatch(block, -1)
			for _, s := range listed {
				p.fail(name + " " + strings.Replace(s[1], "\n ", "", 1))
			}
			if rest := n[2] - len(listed); rest > 0 { // the suite of package scm lists causes instead
				p.red, p.failed = append(p.red, fmt.Sprintf("%s %d specs, for the causes above", name, rest)), p.failed+rest
			}
		case m[2] == "FAIL" && !redChild:
			p.fail(name + " " + m[3])
		case m[2] == "SKIP":
			p.skipped++
		case m[2] == "PASS" && !child:
			p.passed++
		}
	}
	if m := late.FindStringSubmatch(block); word == "FAIL" && m != nil {
		running := strings.ReplaceAll(strings.TrimSpace(m[2]), "\n\t\t", ", ")
		p.fail(strings.TrimSuffix(name+" reached the time limit of "+m[1]+m[3]+": "+running, ": "))
	}
	if word == "FAIL" && p.failed == before.failed {
		p.fail(name + " failed outside its tests" + last(block))
		p.output += block // it names the tests that were running
	} else if p.failed > before.failed {
		p.output += noise.ReplaceAllString(block, "")
	} else if word == "ok  " && p.passed+p.skipped == before.passed+before.skipped {
		p.fail(name + " ran no test")
	}
}

// last names the test or spec that began last.
func last(block string) string {
	all := began.FindAllStringSubmatch(block, -1)
	if len(all) == 0 {
		return ""
	}
	return "; the last to start was " + cmp.Or(all[len(all)-1][1:]...)
}

// verdict prints the sum of the parts, and reports whether all passed.
func verdict(w io.Writer, title string, least int, logs []string) bool {
	total, rows, red, busy, backends := &part{}, "", "", false, [2]*part{{}, {}}
	for _, file := range logs {
		text, _ := os.ReadFile(file) // none if the part did not start
		p := count(string(text))
		fmt.Fprint(w, p.output)
		rows += fmt.Sprintf("  %-40s %v\n", file, p)
		total.passed, total.failed, total.skipped = total.passed+p.passed, total.failed+p.failed, total.skipped+p.skipped
		for _, name := range p.red {
			red += "failed: " + name + " (" + file + ")\n"
		}
		busy = busy || limit.MatchString(p.output+red)
		total.missing, total.skips = append(total.missing, p.missing...), append(total.skips, p.skips...)
		switch filepath.Base(file) { // newest.log has scores too
		case "cgo.log":
			backends[0] = p
		case "purego.log":
			backends[1] = p
		}
	}
	if total.failed = max(total.failed, least); total.passed+total.failed == 0 {
		total.fail("nothing ran")
	}
	fmt.Fprintf(w, "\n%s:\n%s%s", title, rows, red)
	if busy && strings.HasPrefix(title, "make ") { // .ci/run runs these
		fmt.Fprintf(w, "on a busy machine: %s SLOW=3\n", title)
	}
	table, sentence := catalogue(backends)
	fmt.Fprint(w, table)
	slices.Sort(total.skips)
	for _, skip := range slices.Compact(total.skips) {
		fmt.Fprintf(w, "skipped: %s\n", skip)
	}
	if slices.Sort(total.missing); len(total.missing) > 0 && os.Getenv("CI") != "true" { // where it is a failure
		fmt.Fprintf(w, "missing: %s (as root on Debian, tools/setup test installs the tools)\n", strings.Join(slices.Compact(total.missing), ", "))
	}
	fmt.Fprint(w, sentence)
	fmt.Fprintln(w, total)
	return total.failed == 0
}
