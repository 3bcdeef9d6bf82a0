//go:build linux

package kernels

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

func TestChoose(t *testing.T) {
	names := func(o Options) (list []string) {
		t.Helper()
		for _, r := range o.choose() {
			list = append(list, r.Name)
		}
		return list
	}
	var all, s390x []string
	for _, k := range target.Kernels() {
		all = append(all, k.Name)
		if k.Arch == "s390x" {
			s390x = append(s390x, k.Name)
		}
	}
	for _, c := range []struct {
		o    Options
		want []string
	}{
		{Options{}, all},
		{Options{Archs: []string{"s390x"}}, s390x},
		{Options{Kernels: all[1:3]}, all[1:3]},
		{Options{Kernels: all, Archs: []string{"s390x"}}, s390x},
	} {
		if got := names(c.o); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.o, got, c.want)
		}
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Kernels: []string{all[0], "2.6"}}, `no kernel or architecture "2.6"; there are `},
		{Options{Archs: []string{"vax"}}, `no kernel or architecture "vax"; there are `},
		{Options{Kernels: s390x, Archs: []string{"arm"}}, "no kernel has both"},
	} {
		err := must.Try(func() { c.o.choose() })
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
			continue
		}
		for _, name := range all {
			if strings.Contains(c.want, "there are") && !strings.Contains(err.Error(), name) {
				t.Errorf("%+v: got %v, without %s", c.o, err, name)
			}
		}
	}
}

// newReport writes a report, and returns its path. The word after the name of a case is the verdict, and the rest
// the reason.
func newReport(t *testing.T, lines ...string) string {
	t.Helper()
	r := report.Begin("1", nil, &scenario.Expectations{})
	r.System.Kernel = "Linux 6.1.0-50-cloud"
	var list []scenario.Result
	for _, l := range lines {
		name, rest, _ := strings.Cut(l, " ")
		verdict, why, _ := strings.Cut(rest, " ")
		c := scenario.Result{Name: name, Verdict: scenario.Verdict(strings.ReplaceAll(verdict, "-", " "))}
		switch c.Verdict {
		case scenario.Expected:
			c.Reasons = []string{why}
		case scenario.Fail:
			c.Findings = []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "kernel", Text: why}}
		case scenario.UnexpectedPass:
			c.Gone = []string{why}
		default:
			c.Why = why
		}
		list = append(list, c)
	}
	r.End(scenario.RunResult{Results: list})
	file := filepath.Join(t.TempDir(), "report.json")
	must.OK(report.Formats.WriteFile(file, r))
	return file
}

// noOOB is a reason in expected.txt for some releases.
const noOOB = "Unix sockets have no MSG_OOB before Linux 5.15"

func TestJudge(t *testing.T) {
	var r run
	r.judge("kernel", newReport(t,
		"a/one/stream/kernel/kernel pass",
		"a/one/dgram/kernel/kernel unsupported no such socket",
		"a/two/stream/kernel/kernel expected "+noOOB,
		"a/two/dgram/kernel/kernel expected "+noOOB,
		"a/three/stream/kernel/kernel unsupported no such socket"))
	want := cases{report.Totals{Pass: 1, Expected: 2, Unsupported: 2}, map[string][]string{
		"expected: Linux <5.15: " + noOOB: {"a/two"},
		"unsupported: no such socket":     {"a/one/dgram", "a/three"},
	}}
	if len(r.problems) > 0 || !reflect.DeepEqual(r.Kernel, want) || r.Release != "6.1.0-50-cloud" || r.Peers != nil {
		t.Errorf("got %+v, want no problem, and the cases %+v", r, want)
	}
	// Of the peer scenarios, the rules are those of the runner.
	r.judge("peers", newReport(t,
		"a/one/stream/scm/runner pass",
		"a/one/stream/net/runner expected a bug",
		"a/one/stream/runner/runner expected it is old"))
	want = cases{report.Totals{Pass: 1, Expected: 2}, map[string][]string{"expected: it is old": {"a/one"}}}
	if len(r.problems) > 0 || r.Peers == nil || !reflect.DeepEqual(*r.Peers, want) {
		t.Errorf("got %+v, want no problem, and the cases of peers %+v", r, want)
	}
}

func TestJudgeUnexpected(t *testing.T) {
	for line, want := range map[string]string{
		"a/one/dgram/kernel/kernel fail it returned 5":         "fail \n\tanswer@kernel: it returned 5",
		"a/one/dgram/kernel/kernel fixed expected.txt:3: a":    "unexpected pass \n\texpected.txt:3: a",
		"a/one/dgram/kernel/kernel flaky it was slow":          "flaky it was slow",
		"a/one/dgram/kernel/kernel not-run the peer is absent": "not run the peer is absent",
	} {
		var r run
		r.judge("kernel", newReport(t, "a/one/stream/kernel/kernel pass", line))
		if len(r.problems) != 1 || r.problems[0] != "a/one/dgram/kernel/kernel: "+want || r.Kernel.String() != "1/0/0/1" {
			t.Errorf("%s: got %+v", line, r)
		}
	}
}

func TestJudgeNothing(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.json")
	must.OK(os.WriteFile(empty, nil, 0o666))
	none := newReport(t, "a/one/stream/kernel/kernel unsupported it is old")
	for _, command := range []string{"kernel", "peers", "purego", "cgo"} {
		for _, file := range []string{empty, empty + "x", none} {
			if must.Try(func() { new(run).judge(command, file) }) == nil {
				t.Errorf("scm %s: no error for %s", command, filepath.Base(file))
			}
		}
	}
}

func TestJudgeSpecs(t *testing.T) {
	spec := func(state types.SpecState, text, label string) types.SpecReport {
		return types.SpecReport{LeafNodeType: types.NodeTypeIt, State: state, LeafNodeText: text, LeafNodeLabels: []string{label},
			Failure: types.Failure{Message: "it is wrong"}}
	}
	judge := func(list ...types.SpecReport) (r run, err error) {
		file := filepath.Join(t.TempDir(), "specs.json")
		must.OK(os.WriteFile(file, must.Get(json.Marshal([]types.Report{{SpecReports: list}})), 0o666))
		err = must.Try(func() { r.judge("cgo", file) })
		return r, err
	}
	after := types.SpecReport{LeafNodeType: types.NodeTypeReportAfterSuite, State: types.SpecStatePassed}
	r, err := judge(spec(types.SpecStatePassed, "one", ""), spec(types.SpecStateSkipped, "two", "gvisor"), after)
	if err != nil || len(r.problems) > 0 || r.specs["cgo"] != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	after.State = types.SpecStateFailed
	for _, broken := range []types.SpecReport{spec(types.SpecStateFailed, "two", ""), spec(types.SpecStatePanicked, "two", ""), spec(types.SpecStateSkipped, "two", ""), after} {
		if r, err := judge(spec(types.SpecStatePassed, "one", ""), broken); err != nil || len(r.problems) != 1 {
			t.Errorf("%v: got %+v, %v", broken.State, r, err)
		}
	}
	if _, err := judge(spec(types.SpecStateSkipped, "one", "")); err == nil {
		t.Error("nothing passed, without an error")
	}
}

func TestVerdict(t *testing.T) {
	page := record{Name: "6.1", Kernel: cases{Totals: report.Totals{Pass: 7}}, Peers: &cases{Totals: report.Totals{Pass: 9}}}
	page.Kernel.Rules = map[string][]string{"expected: old": {"a/one"}, "unsupported: new": {"a/two"}}
	pages := map[string]record{"6.1": page}
	quick, other, counts, rules := page, page, page, page
	quick.Peers, other.Kernel = nil, cases{Totals: report.Totals{Pass: 6, Expected: 1}}
	counts.Kernel.Totals, counts.Peers = page.Peers.Totals, &cases{Totals: page.Kernel.Totals}
	rules.Kernel.Rules = map[string][]string{"expected: old": {"a/two"}, "unsupported: new": {"a/one"}}
	gone := errors.New("no emulator")
	for _, c := range []struct {
		name   string
		run    run
		ok, ci bool // whether the run is green, without and with CI=true
	}{
		{"as on the page", run{record: page, cpu: time.Second}, true, true},
		{"without peers", run{record: quick, cpu: time.Second}, true, true},
		{"not as on the page", run{record: other, cpu: time.Second}, true, false},
		{"counts swapped", run{record: counts, cpu: time.Second}, true, false},
		{"rules swapped", run{record: rules, cpu: time.Second}, true, false},
		{"a problem", run{record: page, cpu: time.Second, problems: []string{"a"}}, false, false},
		{"nothing ran", run{record: page, missing: gone}, false, false},
		{"a part is missing", run{record: page, cpu: time.Second, missing: gone}, true, false},
	} {
		for ci, want := range map[string]bool{"": c.ok, "true": c.ci} {
			t.Setenv("CI", ci)
			r := c.run
			if err := must.Try(func() { printAll([]*run{&r}, pages) }); (err == nil) != want {
				t.Errorf("%s, CI=%s: got %v", c.name, ci, err)
			}
		}
	}
}

// The results of the last run replace those on the page completely.
func TestKeep(t *testing.T) {
	t.Chdir(t.TempDir())
	rules := func(reason, name string) cases {
		return cases{Totals: report.Totals{Pass: 7, Unsupported: 1}, Rules: map[string][]string{"unsupported: " + reason: {name}}}
	}
	old := record{Name: target.Kernels()[0].Name, Arch: "amd64", Release: "5.10", Kernel: rules("old", "a/b"), Peers: &cases{}}
	ours := record{Name: old.Name, Arch: "amd64", Release: "6.1", Kernel: rules("new | newer", "b/c/stream")}
	err := errors.Join(os.MkdirAll(filepath.Dir(pageFile), 0o777), os.MkdirAll(out, 0o777), os.WriteFile(pageFile, []byte(page([]record{old})), 0o666),
		writeJSON(ours.file(), ours))
	Keep()
	got := kept(pageFile)
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[ours.Name], ours) {
		t.Errorf("got %+v, %v, want %+v", got[ours.Name], err, ours)
	}
}

// Without an emulator or a package, nothing is built.
func TestProveRunsNothing(t *testing.T) {
	bin, built := t.TempDir(), filepath.Join(t.TempDir(), "built")
	t.Setenv("PATH", bin)
	t.Setenv("DEBIAN_MIRROR", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "127.0.0.1")
	t.Chdir(t.TempDir())
	must.OK(os.MkdirAll(filepath.Dir(pageFile), 0o777))
	must.OK(os.WriteFile(pageFile, nil, 0o666))
	must.OK(os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\n: >"+built+"\n"), 0o777))
	for _, emulator := range []string{"without an emulator", "with an emulator"} {
		err := must.Try(func() { Prove(Options{Archs: []string{"s390x"}}) })
		if want := "nothing was run"; fmt.Sprint(err) != want {
			t.Errorf("%s: got %v, want %s", emulator, err, want)
		}
		if _, err := os.Stat(built); err == nil {
			t.Errorf("%s: a program was built", emulator)
		}
		must.OK(os.WriteFile(filepath.Join(bin, "qemu-system-s390x"), nil, 0o777))
	}
}

// A failure is a problem, unless something is missing.
func TestFailed(t *testing.T) {
	for missing, err := range map[bool]error{true: fmt.Errorf("%w: no mirror has it", target.ErrMissing), false: errors.New("another SHA-256")} {
		var r run
		if r.failed(err); (r.missing != nil) != missing || (len(r.problems) == 0) != missing {
			t.Errorf("%v: got %+v", err, r)
		}
	}
}

// The page has all results of kernels of the table: what is read from it gives the same page.
func TestPage(t *testing.T) {
	t.Chdir("../..")
	pages := kept(pageFile)
	var list []record
	for _, k := range target.Kernels() {
		if r, ok := pages[k.Name]; ok {
			list = append(list, r)
		}
	}
	text := must.Get(os.ReadFile(pageFile))
	if len(pages) != len(list) || len(list) == 0 || string(text) != page(list) {
		t.Errorf("%s differs from what `make proof-kernels KEEP=1` writes:\n%s", pageFile, page(list))
	}
}

func TestPageGroups(t *testing.T) {
	rule := func(rule string, scenarios ...string) cases {
		return cases{Totals: report.Totals{Pass: 7, Unsupported: 1}, Rules: map[string][]string{rule: scenarios}}
	}
	old, peers := "expected: Linux <5.15: no MSG_OOB", rule("expected: Linux <5.15: no MSG_OOB", "flags/peer")
	text := page([]record{
		{Name: "5.10-amd64", Arch: "amd64", Release: "5.10.0-32", Kernel: rule(old, "flags/b", "flags/a"), Peers: &peers},
		{Name: "5.10-arm", Arch: "arm", Release: "5.10.0-32", Kernel: rule(old, "flags/a", "flags/b")},
		{Name: "7.2-arm", Arch: "arm", Release: "7.2.13", Kernel: rule("unsupported: no a|b", "kinds/kvm")},
	})
	for _, want := range []string{
		"| 5.10-amd64 | amd64 | 5.10.0-32 | 7 | 0 | 1 | 7 | 0 | 1 |\n",
		"| 7.2-arm | arm | 7.2.13 | 7 | 0 | 1 | | | |\n",
		"| `flags/a`, `flags/b` | 5.10-amd64, 5.10-arm | expected | Linux <5.15: no MSG_OOB |\n",
		"| `flags/peer` | all on amd64 | expected | Linux <5.15: no MSG_OOB |\n",
		"| `kinds/kvm` | 7.2-arm | unsupported | no a\\|b |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}
