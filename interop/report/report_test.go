package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
)

func parse(t *testing.T, name, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse(name, []byte("# A rule.\n# Its source.\n"+text+"A> end\nA< ok\n"))
	fdtest.Must(t, err)
	return s
}

// small returns a report with every verdict. It has two peers, one unused peer and the runner.
func small(t *testing.T) *Report {
	t.Helper()
	pass := parse(t, "basics/pass", "on stream dgram\n")
	limit := parse(t, "limits/many", "on stream\n")
	kernels := parse(t, "gc/asked", "on stream dgram\nplay kernel\n")
	x, y, self := scenario.Program("x", "x"), scenario.Program("libre", "libre"), &scenario.Peer{Name: scenario.RunnerName}
	x.Hello = contract.Hello{Lang: "c", Version: "1.2", Can: []string{"stream"}}
	y.Hello = contract.Hello{Lang: "rust", Version: "0.30.1"}
	self.Hello = contract.Hello{Lang: "go", Version: "0"}
	kernel := &scenario.Peer{Name: scenario.KernelName}
	missing := scenario.Missing("gone", "no C compiler (gcc) in PATH")
	other := scenario.Missing("other", scenario.NotSelected)

	result := func(s *scenario.Scenario, socketType string, a, b *scenario.Peer, r scenario.Result) scenario.Result {
		r.Case = scenario.Case{Scenario: s, Type: socketType, A: a, B: b}
		r.Name, r.Hash = r.Case.Name(), s.Hash
		return r
	}
	leak := scenario.Finding{Check: scenario.CheckLeak, Peer: "libre", Line: 7, Text: "a, as 4, is open, and the peer did not report it"}
	cloexec := scenario.Finding{Check: scenario.CheckCloexec, Peer: "x", Text: "a received descriptor is not close-on-exec"}
	known := cloexec
	known.Expected = true
	runners := cloexec
	runners.Peer = scenario.RunnerName
	o := scenario.RunResult{
		Results: []scenario.Result{
			result(pass, "stream", x, y, scenario.Result{Verdict: scenario.Pass, Seconds: 1.5}),
			result(limit, "stream", x, y, scenario.Result{Verdict: scenario.Unsupported, Why: "x: no multi"}),
			result(pass, "stream", y, x, scenario.Result{Verdict: scenario.Expected, Findings: []scenario.Finding{known}, Reasons: []string{"a known bug"},
				Transcript: []string{"B< ok n=1 payload=00 fds=7"}}),
			result(limit, "stream", x, self, scenario.Result{Verdict: scenario.Unsupported, Why: "x: no multi"}),
			result(pass, "stream", self, y, scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{leak, runners},
				Transcript: []string{"A> send payload=00 fds=4", "A< ok n=1"},
				Facts:      []string{"A> send payload=00 fds=4", "A< ok n=1", "    A: descriptor 4 is </script> ```", "    ✗ leak: it is open"},
				Trace:      &scenario.Trace{Why: "another way </script> ```", Transcript: []string{"A> send payload=00 fds=3"}, A: []string{"7 sendmsg(3) = 1", "  control, 24 bytes"}, B: []string{"8 recvmsg(3) = 1"}}}),
			result(limit, "stream", self, y, scenario.Result{Verdict: scenario.UnexpectedPass, Why: "expected to fail, but does not: mine.txt:3: ** leak@libre",
				Gone: []string{"mine.txt:3: ** leak@libre"}}),
			result(pass, "stream", y, self, scenario.Result{Verdict: scenario.NotRun, Why: "libre: the peer ended"}),
			result(pass, "stream", self, self, scenario.Result{Verdict: scenario.Pass}),
			result(limit, "stream", self, self, scenario.Result{Verdict: scenario.Pass,
				Why:          scenario.KernelPassesWhy + ": file:4: limits/many answer@runner<6.7",
				KernelPasses: []string{"file:4: limits/many answer@runner<6.7"}}),
			result(pass, "dgram", x, self, scenario.Result{Verdict: scenario.Unsupported, Why: "x: no dgram"}),
			result(pass, "dgram", self, self, scenario.Result{Verdict: scenario.Pass}),
			result(limit, "dgram", y, y, scenario.Result{Verdict: scenario.Flaky, Tries: 2, Why: "fail at first, and pass on attempt 2"}),
			result(kernels, "dgram", kernel, kernel, scenario.Result{Verdict: scenario.Pass, Seconds: 0.25, Transcript: []string{"A> end", "A< ok"}}),
			result(kernels, "stream", kernel, kernel, scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{
				{Check: scenario.CheckAnswer, Peer: "kernel", Line: 4, Text: "answered \"ok\" </script> ```"}}}),
		},
		Witnesses: map[string]int{"kcmp": 12, "O_APPEND": 3},
		Cut:       errors.New("interrupt"),
	}
	aside, err := scenario.ParseExpectations("file", []byte("** leak@gone why\n** answer@gone why"))
	fdtest.Must(t, err)
	r := Begin("v1.0.0", []*scenario.Peer{x, y, missing, other, self}, &scenario.Expectations{Aside: aside})
	r.End(o)
	r.Planned = 20
	r.System = System{Kernel: "Linux 6.1", Machine: "x86_64", User: 1000}
	r.Started, r.Seconds = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 12.345
	return r
}

// texts returns what a report writes for its readers, by the method.
func texts(t *testing.T, r *Report) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, write := range map[string]func(io.Writer) error{
		"Console": r.Console, "Brief": r.Brief, "HTML": r.HTML, "JUnit": r.JUnit,
		"Summary":     func(w io.Writer) error { return r.Summary(w, "") },
		"Annotations": func(w io.Writer) error { return r.Annotations(w, "") },
	} {
		var b strings.Builder
		fdtest.Must(t, write(&b))
		all[name] = b.String()
	}
	return all
}

// TestFormats compares the report of small in each format with the files in testdata. With SCM_GOLDEN=write, it
// writes the files.
func TestFormats(t *testing.T) {
	for ext, write := range Formats {
		golden := "testdata/report" + ext
		r := small(t)
		var got bytes.Buffer
		if err := write(r, &got); err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
		if os.Getenv("SCM_GOLDEN") == "write" {
			fdtest.Must(t, Formats.WriteFile(golden, r))
		}
		want, err := os.ReadFile(golden)
		fdtest.Must(t, err)
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s, got\n%s\nwhich differs from %s (update it with SCM_GOLDEN=write)", ext, &got, golden)
		}
		if err := write(r, &full{got.Len() / 2}); !errors.Is(err, errFull) {
			t.Errorf("%s: on a full device: %v", ext, err)
		}
	}
}

// Text from a peer cannot end the script of the page, and a CI server does not obey it.
func TestFormatsWithHostileText(t *testing.T) {
	const hostile = "##[error]forged\n::error::forged </script> ``` <b>|[a](b)"
	r := &Report{
		Peers: []Peer{{Name: "x", Hello: contract.Hello{Lang: hostile, Version: hostile}}, {Name: "y", NotRun: hostile}},
		Cases: []scenario.Result{{Name: "a/b/stream/x/y", Verdict: scenario.Fail, Why: hostile, Transcript: []string{hostile}, Facts: []string{hostile}, Trace: &scenario.Trace{A: []string{hostile}},
			Findings: []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "x", Text: hostile}}},
			{Name: "a/c/stream/x/y", Verdict: scenario.Pass, Why: hostile, KernelPasses: []string{hostile}}},
		KernelPasses: []string{hostile},
	}
	reports := map[string]string{}
	for ext, write := range Formats {
		var b bytes.Buffer
		if err := write(r, &b); err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
		reports[ext] = b.String()
		text := strings.ReplaceAll(b.String(), "&#xA;", "\n")
		obeyed := strings.Contains(text, "##[") || strings.Contains(text, "\n::")
		if ext != ".html" && obeyed || !strings.Contains(text, "forged") {
			t.Errorf("%s: a CI server would obey it: %v; want the text of the peer in\n%s", ext, obeyed, text)
		}
	}
	if n := strings.Count(reports[".html"], "</script>"); n != 1 {
		t.Errorf("%d ends of a script, want 1", n)
	}
}

func TestTotals(t *testing.T) {
	r := small(t)
	if want := (Totals{Pass: 4, Expected: 1, Fail: 1, Fixed: 1, Flaky: 1, Unsupported: 3, NotRun: 1}); r.Totals != want || r.Verdicts() != 10 {
		t.Errorf("got %+v, want %+v", r.Totals, want)
	}
	if want := (Totals{Pass: 1, Fail: 1}); r.Kernel != want || r.Unexpected() != 4 { // peers and kernel are never summed
		t.Errorf("got %+v, want %+v", r.Kernel, want)
	}
	peers := map[string]Totals{
		"x":     {Pass: 1, Expected: 1, Unsupported: 3},
		"libre": {Pass: 1, Expected: 1, Fail: 1, Fixed: 1, Flaky: 1, Unsupported: 1, NotRun: 1},
		// The case of a peer with itself counts once.
		"runner": {Pass: 3, Fail: 1, Fixed: 1, Unsupported: 2, NotRun: 1},
	}
	seconds := map[string]float64{"x": 1.5, "libre": 1.5}
	for _, p := range r.Peers {
		if p.Totals != peers[p.Name] || p.Seconds != seconds[p.Name] {
			t.Errorf("%s: got %+v in %v s, want %+v", p.Name, p.Totals, p.Seconds, peers[p.Name])
		}
	}
	for want, totals := range map[string]Totals{
		"":        {},
		"12":      {Pass: 12, Unsupported: 3},
		"-":       {Unsupported: 3},
		"0x2":     {Expected: 2},
		"5!3":     {Pass: 5, Fail: 2, Fixed: 1},
		"0?3":     {NotRun: 3, Unsupported: 1},
		"1x2!8?6": {Pass: 1, Expected: 2, Fail: 3, Fixed: 4, Flaky: 1, Unsupported: 5, NotRun: 6},
	} {
		if got := cell(totals); got != want {
			t.Errorf("%+v: got %q, want %q", totals, got, want)
		}
	}
}

// A report names each expected failure that was set aside because the kernel does not fail it, once and sorted.
func TestKernelPasses(t *testing.T) {
	kernel := []string{}
	for i := range maxLines + 2 {
		kernel = append(kernel, fmt.Sprintf("file:%02d: a/b answer@kernel<6.7", i))
	}
	r := Begin("v1.0.0", nil, &scenario.Expectations{StrictKernel: true})
	var cases []scenario.Result
	for i := range kernel { // each line twice, the last one first
		line := kernel[len(kernel)-1-i]
		cases = append(cases, scenario.Result{Name: "a/b/stream/x/y", Verdict: scenario.Pass, KernelPasses: []string{line, kernel[0]}})
	}
	r.End(scenario.RunResult{Results: cases})
	if !r.StrictKernel || !slices.Equal(r.KernelPasses, kernel) {
		t.Errorf("got %v, %q", r.StrictKernel, r.KernelPasses)
	}
	shown := append(kernel[:maxLines:maxLines], "… and 2 more")
	for _, ext := range []string{".txt", ".html"} {
		var b strings.Builder
		if err := Formats[ext](r, &b); err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
		at := 0
		for _, line := range shown {
			if ext == ".html" {
				line = strings.ReplaceAll(line, "<", "&lt;")
			}
			next := strings.Index(b.String()[at:], line)
			if next < 0 {
				t.Fatalf("%s: no %q in\n%s", ext, line, b.String())
			}
			at += next
		}
		if strings.Contains(b.String(), "file:11") {
			t.Errorf("%s: too many lines in\n%s", ext, b.String())
		}
	}
	r.KernelPasses = nil
	for ext, write := range Formats {
		var b strings.Builder
		if err := write(r, &b); err != nil || strings.Contains(b.String(), kernelPassesTitle) {
			t.Errorf("%s: %v, and the title is in\n%s", ext, err, b.String())
		}
	}
}

// The release is the second word of what uname reports. Old reports have no kind of kernel.
func TestIdentity(t *testing.T) {
	for s, want := range map[System]expected.System{
		{Kernel: "Linux 5.10.0-32-cloud-amd64"}:   {Kind: "linux", Release: "5.10.0-32-cloud-amd64"},
		{Kernel: "Linux 4.4.0", Kind: "gvisor"}:   {Kind: "gvisor", Release: "4.4.0"},
		{Kernel: "Linux 6.19-rc3", Kind: "linux"}: {Kind: "linux", Release: "6.19-rc3"},
		{}: {Kind: "linux"},
	} {
		if got := s.Identity(); got != want {
			t.Errorf("%+v: got %+v, want %+v", s, got, want)
		}
	}
}

// In every format, a run whose exit status is not 0 is not reported as expected.
func TestHeadline(t *testing.T) {
	pass := Totals{Pass: 1}
	for _, c := range []struct {
		r        Report
		want     string
		runError bool   // it belongs to no case
		text     string // in the report for a terminal
	}{
		{Report{Totals: pass}, "as expected", false, "\nOf 1 case, 1 passed.\n"},
		{Report{Totals: Totals{Expected: 1, Unsupported: 1}, Peers: []Peer{{Name: "x"}}}, "as expected", false, "\nOf 1 case, 1 failed as expected. Unsupported: 1.\n"},
		{Report{Totals: Totals{Pass: 1, Expected: 2, Fail: 3, Flaky: 1, NotRun: 1, Unsupported: 1}, Kernel: Totals{Pass: 2, NotRun: 1, Unsupported: 2}}, "not as expected, 2 not run", false,
			"\nOf 9 cases, 3 passed, 2 failed as expected, 4 did not end as expected.\n  Unsupported: 3. 2 cases could not be run.\n"},
		{Report{Totals: Totals{Fail: 1}, Cases: []scenario.Result{{Name: "basics/pass/dgram/runner/runner", Verdict: scenario.Fail}}}, "not as expected", false,
			"\nthe runner itself fails basics/pass on dgram: suspect the scenario or the kernel before the peers\n"},
		{Report{Totals: pass, Kernel: Totals{NotRun: 2}}, "2 not run", false, "2 cases could not be run.\n"},
		{Report{Totals: Totals{Unsupported: 1}}, "nothing ran", true, "\nnothing ran\nNo case has a verdict. Unsupported: 1.\n"},
		{Report{Totals: pass, Cut: "interrupt", Planned: 3, Cases: []scenario.Result{{Name: "a/b/dgram/x/y", Verdict: scenario.Pass}}, Peers: []Peer{{Name: "z"}},
			Required: map[string]bool{"z": true}, NoFiles: []string{"z"}, NotAsked: map[string]string{"z": ""}}, "cut short", true, "\nOf 1 case, 1 passed.\ncut short after 1 of 3 cases: interrupt\n"},
		{Report{Error: "x"}, "did not run: x", true, "\ndid not run: x\nNo case has a verdict.\n"},
		{Report{Totals: pass, Peers: []Peer{{Name: "x"}, {Name: "y", Totals: pass}}, Required: map[string]bool{"x": true, "y": true}},
			"peer x: none of its cases has a verdict", true, "\npeer x: none of its cases has a verdict\n"},
		{Report{Totals: pass, Peers: []Peer{{Name: "x", Totals: pass}}, NoFiles: []string{"x"}},
			"peer x: no case that it supports passes a descriptor", true, "\npeer x: no case that it supports passes a descriptor\n"},
	} {
		mark := ""
		if c.want != "as expected" {
			mark = "**"
		}
		got := texts(t, &c.r)
		for format, want := range map[string]string{
			"Summary": "## scm interop: " + mark + c.want + mark + "\n", "Console": c.text, "HTML": "<h1>scm interop: " + c.want + "</h1>",
		} {
			accused := c.r.Cut != "" && (strings.Contains(got[format], "peer z") || strings.Contains(got[format], "\nz: "))
			if !strings.Contains(got[format], want) || accused {
				t.Errorf("%s: no %q, or a sentence about a peer that had no turn, in\n%.300s", format, want, got[format])
			}
		}
		if strings.Contains(got["JUnit"], `<error message="`+c.want) != c.runError {
			t.Errorf("%s: want it as an error of JUnit: %v, in\n%s", c.want, c.runError, got["JUnit"])
		}
	}
}

var errFull = errors.New("no space left on device")

// full is a device that has space for a number of bytes.
type full struct{ space int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.space {
		return f.space, errFull
	}
	f.space -= len(p)
	return len(p), nil
}

// Brief begins with the most frequent causes. It never exceeds 120 lines.
func TestBrief(t *testing.T) {
	rule := &scenario.Scenario{Name: "a/b", Rule: []string{"A rule. " + strings.Repeat("It is long. ", 10)}}
	for peers, partner := range map[int]string{1: "runner", 30: "peer-of-a-library-0"} {
		r := &Report{}
		for i := range peers {
			name := fmt.Sprintf("peer-of-a-library-%d", i)
			r.Peers = append(r.Peers, Peer{Name: name})
			for j := range 40 {
				r.Cases = append(r.Cases, scenario.Result{Name: fmt.Sprintf("a/credentials%d/stream/%s/%s", j, name, partner), Verdict: scenario.Fail,
					Findings: []scenario.Finding{{Check: scenario.Checks[j%len(scenario.Checks)], Peer: name, Text: "it is wrong"}},
					Case:     scenario.Case{Scenario: rule}, Transcript: slices.Repeat([]string{"A> end"}, 5+j)})
			}
		}
		brief := texts(t, r)["Brief"]
		table := r.CauseTable(func(scenario.Result) string { return "" })
		if more := strings.Contains(table, " more causes, each with a transcript above\n"); more != (peers > 1) {
			t.Errorf("%d peers: %v\n%s", peers, more, table)
		}
		lines := strings.Split(strings.TrimSuffix(brief, "\n"), "\n")
		if len(lines) > maxBriefLines || len(r.Causes()) != peers*len(scenario.Checks) {
			t.Errorf("%d peers: got %d lines and %d causes, want at most %d and %d",
				peers, len(lines), len(r.Causes()), maxBriefLines, peers*len(scenario.Checks))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > columns && !strings.Contains(l, "a/credentials") {
				t.Errorf("%d peers: a line of %d columns, want at most %d: %s", peers, utf8.RuneCountInString(l), columns, l)
			}
		}
		if begin := "peer-of-a-library-0 " + scenario.Faults[scenario.CheckAnswer]; !strings.HasPrefix(strings.ReplaceAll(brief, "\n  ", " "), begin) {
			t.Errorf("%d peers: got\n%swant first: %s", peers, brief, begin)
		}
	}
}

// A peer without a case, as with --run, has no row in the tables. In a matrix, this depends on the type of socket.
func TestPeersWithoutCases(t *testing.T) {
	pass := Totals{Pass: 1}
	r := &Report{Peers: []Peer{{Name: "absent"}, {Name: "here", Totals: pass}, {Name: "runner", Totals: pass}}, Cases: []scenario.Result{
		{Name: "a/b/stream/here/here", Verdict: scenario.Pass}, {Name: "a/b/dgram/runner/runner", Verdict: scenario.Pass}}}
	if got := r.Matrix("dgram"); strings.Contains(got, "here") || !strings.Contains(got, "runner") {
		t.Error(got)
	}
	for _, name := range []string{"Console", "Brief"} {
		if text := texts(t, r)[name]; strings.Contains(text, "absent") || !strings.Contains(text, "\nhere ") {
			t.Errorf("%s: want only the peer absent left out of\n%s", name, text)
		}
	}
}
