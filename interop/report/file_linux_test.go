package report

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/scm-rights/scm/interop/scenario"
)

// plain is a report as it is read again: what is not in the file is the case itself.
func plain(t *testing.T) *Report {
	t.Helper()
	r := small(t)
	for i := range r.Cases {
		r.Cases[i].Case = scenario.Case{}
	}
	return r
}

func TestWriteFile(t *testing.T) {
	r := plain(t)
	dir := t.TempDir()
	for ext, form := range formats {
		file := filepath.Join(dir, "new", "report"+ext)
		for i := range 2 { // it takes the place of an old one, and keeps its mode
			if err := r.WriteFile(context.Background(), file); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(file); err != nil {
				t.Fatal(err)
			} else if i > 0 && info.Mode() != 0o600 {
				t.Errorf("%s: the mode is %v", ext, info.Mode())
			}
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var want bytes.Buffer
		if err := form(r, &want); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want.Bytes()) || len(got) == 0 {
			t.Errorf("%s: got %s, %v", ext, got, err)
		}
	}
	for _, ext := range []string{".json", Streamed} {
		file := filepath.Join(dir, "new", "again"+ext)
		if err := r.WriteFile(context.Background(), file); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(file); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %v, got\n%+v\nwant\n%+v", ext, err, got, r)
		}
	}
	folder := filepath.Join(dir, "folder.json")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{folder, filepath.Join(dir, "new", "report.json", "report.xml"), "/dev/null/x.html", "/dev/null/x.jsonl", "/dev/full/x.md",
		"report", "report.pdf", filepath.Join(dir, "json")} {
		if err := r.WriteFile(context.Background(), file); err == nil {
			t.Errorf("%s is written", file)
		}
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*", "*.new")); err != nil || len(names) > 0 {
		t.Errorf("left: %v, %v", names, err)
	}
}

// In a folder to which others may write, a link in the way is not followed.
func TestWriteFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "report.json"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file + ".new", fmt.Sprintf("%s.%d.new", file, os.Getpid())} {
		if err := os.Symlink(other, name); err != nil {
			t.Fatal(err)
		}
	}
	err := new(Report).WriteFile(context.Background(), file)
	if text, _ := os.ReadFile(other); string(text) != "kept" {
		t.Errorf("a report of %d bytes was written through the link: %v", len(text), err)
	}
	// What stands in the way does not keep a report from being written.
	if _, e := os.Stat(file); err != nil || e != nil {
		t.Errorf("not written: %v, %v", err, e)
	}
}

func TestStreamTellsOfErrors(t *testing.T) {
	r := plain(t)
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{file: f}
	s.Case(r.Cases[0])
	if err := s.Close(r); err == nil {
		t.Error("nobody was told")
	}
}

// A report of a run that was killed is not taken for a whole one.
func TestReadWhatIsCutOff(t *testing.T) {
	r := plain(t)
	file := filepath.Join(t.TempDir(), "report"+Streamed)
	if err := r.WriteFile(context.Background(), file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(lines) != 1+len(r.Cases)+1+1 {
		t.Fatalf("%d lines of %d cases", len(lines), len(r.Cases))
	}
	for n := range len(lines) - 2 {
		for _, end := range []string{"", `{"case":{"na`} {
			if err := os.WriteFile(file, append(bytes.Join(lines[:n+1], nil), end...), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("after %d lines%s: %v", n+1, end, err)
			}
			part, cut, err := ReadPart(file)
			if err != nil || cut == nil || !strings.Contains(cut.Error(), "cut off") {
				t.Fatalf("after %d lines%s: %v, %v", n+1, end, cut, err)
			}
			if len(part.Cases) != n || n > 0 && !reflect.DeepEqual(part.Cases, r.Cases[:n]) || len(part.Peers) != len(r.Peers) {
				t.Errorf("after %d lines%s: %+v", n+1, end, part)
			}
		}
	}
	for text, want := range map[string]string{
		"":                    "EOF",
		"[]":                  "cannot unmarshal",
		`{"schema": 1}`:       "schema 1, and this reads 2",
		`{"schema": 2} hello`: "cut off",
	} {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if _, cut, err := ReadPart(file); err == nil || cut != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, in part: %v, %v", text, cut, err)
		}
	}
	for _, ext := range []string{".json", Streamed} {
		file := filepath.Join(t.TempDir(), "report"+ext)
		if err := r.WriteFile(context.Background(), file); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for more, whole := range map[string]bool{" \r\n\t": true, "}": false, "]\n": false, "\n{}": false, "x": false, "\x00": false} {
			if err := os.WriteFile(file, append(slices.Clone(text), more...), 0o666); err != nil {
				t.Fatal(err)
			}
			if got, err := Read(file); (err == nil) != whole || whole && !reflect.DeepEqual(got, r) {
				t.Errorf("%s, and %q behind it: %v", ext, more, err)
			}
		}
	}
}

// As a CI server reads it: every case is there, and counted as what it is.
func TestJUnit(t *testing.T) {
	r := small(t)
	var b bytes.Buffer
	if err := r.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	type counts struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	var got struct {
		counts
		Suites []struct {
			Name string `xml:"name,attr"`
			counts
			Cases []struct {
				Class   string    `xml:"classname,attr"`
				Name    string    `xml:"name,attr"`
				Time    string    `xml:"time,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if want := (counts{Tests: 15, Failures: 4, Errors: 2, Skipped: 4}); got.counts != want {
		t.Errorf("got %+v, want %+v", got.counts, want)
	}
	verdicts := map[string]string{}
	var suites []string
	for _, s := range got.Suites {
		sum := counts{Tests: len(s.Cases)}
		for _, c := range s.Cases {
			verdict := "pass"
			switch {
			case c.Failure != nil:
				sum.Failures++
				verdict = "failure"
			case c.Error != nil:
				sum.Errors++
				verdict = "error"
			case c.Skipped != nil:
				sum.Skipped++
				verdict = "skipped"
			}
			verdicts[c.Class+"/"+c.Name] = verdict
		}
		if s.counts != sum {
			t.Errorf("%s: got %+v, want %+v", s.Name, s.counts, sum)
		}
		suites = append(suites, s.Name)
	}
	if fmt.Sprint(suites) != "[basics kernel/gc limits run]" {
		t.Errorf("got %v", suites)
	}
	as := map[scenario.Verdict]string{scenario.Pass: "pass", scenario.Fail: "failure", scenario.Fixed: "failure", scenario.Flaky: "failure",
		scenario.Expected: "skipped", scenario.Unsupported: "skipped", scenario.NotRun: "error"}
	for _, c := range r.Cases {
		if verdicts[c.Name] != as[c.Verdict] {
			t.Errorf("%s, %s, is %s", c.Name, c.Verdict, verdicts[c.Name])
		}
	}
	for _, want := range []string{`time="0.250"`, "a known bug", "A&gt; send payload=00 fds=4",
		"<system-out>played again under the recorder: another way &lt;/script&gt; ```", "&#xA;    control, 24 bytes&#xA;calls of B, libre:",
		`<error message="cut short: interrupt">`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// No form of a report says that a run was as expected whose exit status is not 0.
func TestHeadline(t *testing.T) {
	pass := Totals{Pass: 1}
	for _, c := range []struct {
		r      Report
		want   string
		beside bool // no case tells of it
	}{
		{Report{Totals: pass}, "as expected", false},
		{Report{Totals: Totals{Expected: 1, Unsupported: 1}, Peers: []Peer{{Name: "x"}}}, "as expected", false},
		{Report{Totals: Totals{Fail: 1}}, "not as expected", false},
		{Report{Totals: pass, Kernel: Totals{NotRun: 2}}, "2 not run", false},
		{Report{Totals: Totals{Unsupported: 1}}, "nothing ran", true},
		{Report{Totals: pass, Cut: "interrupt"}, "cut short", true},
		{Report{Totals: pass, Peers: []Peer{{Name: "x"}, {Name: "y", Totals: pass}}, Awaited: map[string]bool{"x": true, "y": true}},
			"peer x: none of its cases has a verdict", true},
	} {
		mark := ""
		if c.want != "as expected" {
			mark = "**"
		}
		for _, form := range []struct {
			write func(*Report, io.Writer) error
			want  string
		}{
			{(*Report).Markdown, "## scm interop: " + mark + c.want + mark + "\n"},
			{(*Report).Console, "\nthe run: " + c.want + "\n"},
			{(*Report).HTML, "<h1>scm interop: " + c.want + "</h1>"},
		} {
			var b strings.Builder
			if err := form.write(&c.r, &b); err != nil || !strings.Contains(b.String(), form.want) {
				t.Errorf("%v: no %q in\n%.300s", err, form.want, b.String())
			}
		}
		var b strings.Builder
		if err := c.r.JUnit(&b); err != nil || strings.Contains(b.String(), `<error message="`+c.want) != c.beside {
			t.Errorf("%s: %v\n%s", c.want, err, b.String())
		}
	}
}

// recorded is what the small report has recorded, as Markdown tells it.
const recorded = "played again under the recorder: another way </script> ~~~\n  A> send payload=00 fds=3\n" +
	"calls of A, runner:\n  7 sendmsg(3) = 1\n    control, 24 bytes\ncalls of B, libre:\n  8 recvmsg(3) = 1"

func TestMarkdown(t *testing.T) {
	r := small(t)
	var b bytes.Buffer
	if err := r.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## scm interop: **not as expected, 1 not run, cut short**\n",
		"| peers | 8 | 4 | 1 | 1 | 1 | 1 | 3 | 1 |\n| kernel | 2 | 1 | 0 | 1 | 0 | 0 | 0 | 0 |\n",
		"cut short: interrupt\n",
		"<details><summary>fail: <code>basics/pass/stream/runner/libre</code></summary>\n\n```\nfail: leak@libre: ",
		"\nA> send payload=00 fds=4\nA< ok n=1\n" + recorded + "\n```\n",
		"| libre | rust | 0.30.1 | 1 | 1 | 3 | 1 | 1 |\n",
		"\nNot there: gone (no C compiler &#40;gcc&#41; in PATH).\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	// No text of a peer's ends the block that it is in.
	if n := strings.Count(b.String(), "```"); n != 2*strings.Count(b.String(), "<details>") {
		t.Errorf("%d marks of blocks in\n%s", n, b.String())
	}
	for range mostFailures {
		r.Cases = append(r.Cases, r.Cases[4])
	}
	b.Reset()
	if err := r.Markdown(&b); err != nil || !strings.Contains(b.String(), "\n… and 5 more.\n") || strings.Count(b.String(), "<details>") != mostFailures ||
		strings.Count(b.String(), "7 sendmsg(3) = 1") != mostTraces || strings.Count(b.String(), "the other forms of the report have what was recorded") != mostFailures-4-mostTraces { // four have none
		t.Errorf("%v\n%s", err, b.String())
	}
	good := &Report{Totals: Totals{Pass: 1}}
	b.Reset()
	if err := good.Markdown(&b); err != nil || !strings.HasPrefix(b.String(), "## scm interop: as expected\n") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// The data on the page is what was found, and no text of a peer's ends the script.
func TestHTML(t *testing.T) {
	r := small(t)
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "</script>"); n != 1 {
		t.Errorf("%d scripts end", n)
	}
	m := regexp.MustCompile(`(?m)^const cases = (.*), types = (\[.*\]), kernel = "kernel";$`).FindStringSubmatch(b.String())
	if m == nil {
		t.Fatalf("no cases in\n%s", b.String())
	}
	var rows []row
	if err := json.Unmarshal([]byte(m[1]), &rows); err != nil || len(rows) != len(r.Cases) {
		t.Fatalf("%d cases, %v", len(rows), err)
	}
	for i, c := range r.Cases {
		if rows[i].Name != c.Name || rows[i].Verdict != string(c.Verdict) || fmt.Sprint(rows[i].Lines) != fmt.Sprint(c.Transcript) || fmt.Sprint(rows[i].Trace) != fmt.Sprint(Trace(c)) || len(rows[i].Findings) < len(c.Findings) {
			t.Errorf("got %+v, want %+v", rows[i], c)
		}
	}
	if !strings.Contains(b.String(), "not there: no C compiler (gcc) in PATH") {
		t.Error("it does not tell who is not there")
	}
}

// What a peer says of itself is text, and no link or picture.
func TestMarkdownEscapes(t *testing.T) {
	r := small(t)
	r.Peers[0].Lang, r.Peers[0].Version = "<img/src=x>", "|[a](b)`"
	var text strings.Builder
	if err := r.Markdown(&text); err != nil {
		t.Fatal(err)
	}
	want := "| x | &#60;img&#47;src&#61;x&#62; | &#124;&#91;a&#93;&#40;b&#41;&#96; |"
	if !strings.Contains(text.String(), want) {
		t.Errorf("no %q in\n%s", want, &text)
	}
}

// What a peer has written is as long as it likes, and a summary of a CI server is not. A
// block that is cut off is closed all the same.
func TestMarkdownIsBounded(t *testing.T) {
	for _, c := range []struct {
		name                   string
		cases, lines, longLine int
		peers                  int
		told                   int // cases, at least
	}{
		{"many long answers", 60, 200, 16 << 10, 0, 9},
		{"many short ones", 200, 400, 10, 0, mostFailures},
		{"many bytes of few characters", 60, 200, 16 << 10, 0, 9},
		{"many peers", 60, 200, 16 << 10, 5000, 7},
	} {
		r := small(t)
		r.Cases = nil
		word := strings.Repeat("a", c.longLine)
		if c.name == "many bytes of few characters" {
			word = strings.Repeat("\u20ac", c.longLine/3)
		}
		for range c.cases {
			r.Cases = append(r.Cases, scenario.Result{Name: "basics/pass/stream/x/x", Verdict: scenario.Fail, Transcript: slices.Repeat([]string{"A< ok " + word}, c.lines)})
		}
		for i := range c.peers {
			r.Peers = append(r.Peers, Peer{Name: fmt.Sprint("gone", i), NotRun: strings.Repeat("<", 100)})
		}
		var b strings.Builder
		if err := r.Markdown(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		told := strings.Count(text, "<details>")
		if len(text) >= 1<<20 || told < c.told || told != strings.Count(text, "</details>") || strings.Count(text, "```") != 2*told || !utf8.ValidString(text) {
			t.Errorf("%s: %d bytes, %d cases", c.name, len(text), told)
		}
		if want := fmt.Sprintf("\n… and %d more.\n", c.cases-told); !strings.Contains(text, want) {
			t.Errorf("%s: no %q", c.name, want)
		}
		if !strings.Contains(text, "\n| peer | language |") {
			t.Errorf("%s: no peers", c.name)
		}
	}
}

// Neither is a link followed where a report is written line by line.
func TestStreamFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	other, file := filepath.Join(dir, "other"), filepath.Join(dir, "r.jsonl")
	if err := os.WriteFile(other, []byte("other"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, file); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Report{}).NewStream(context.Background(), file); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "other" {
		t.Errorf("%q, %v", text, err)
	}
}

// Of two runs with one report the first goes on with it, and the second has none.
func TestStreamOfTwoRuns(t *testing.T) {
	r := plain(t)
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo"+Streamed)
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, file := range []string{filepath.Join(dir, "report"+Streamed), fifo} {
		first, err := r.NewStream(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.NewStream(context.Background(), file)
		if err == nil {
			defer second.Close(r)
		}
		if want := file + ": another run writes this report"; fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := first.Close(r); err != nil {
			t.Error(err)
		}
		if file != fifo {
			if _, err := Read(file); err != nil {
				t.Error(err)
			}
		}
		third, err := r.NewStream(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		if err := third.Close(r); err != nil {
			t.Error(err)
		}
	}
}

// A report is one however its path is written, and is there once.
func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, err := range []error{
		os.Mkdir("folder", 0o777), os.Symlink("folder", "link"),
		os.WriteFile("a.json", nil, 0o666), os.Symlink("a.json", "b.json"), os.Link("a.json", "c.json"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"x.json", "x.json", true},
		{"x.json", "./folder/../x.json", true},
		{"x.json", filepath.Join(dir, "x.json"), true},
		{"folder/x.json", "link/x.json", true},
		{"link/new/x.json", "folder/new//x.json", true},
		{"a.json", "b.json", true},
		{"a.json", "c.json", true},
		{"x.json", "x.jsonl", false},
		{"x.json", "folder/x.json", false},
		{"new/x.json", "new/y.json", false},
	} {
		want := fmt.Sprintf("the reports %s and %s are one file", c.one, c.other)
		if err := CheckFiles([]string{"else.md", c.one, c.other}); c.same && fmt.Sprint(err) != want || !c.same && err != nil {
			t.Errorf("%s, %s: got %v", c.one, c.other, err)
		}
	}
	if err := CheckFiles([]string{"x.json", "x.pdf"}); err == nil {
		t.Error("no error of the name")
	}
}
