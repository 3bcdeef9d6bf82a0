package browser

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A table is a matrix as the page has it.
type table struct {
	Type    string
	Columns []string
	Rows    []struct {
		Name  string
		Cells []cell
	}
}

// A cell is a square of it. One without a button has a colour, and no more.
type cell struct{ Square, Text, Ink, Ground string }

const tables = `(() => {
	const found = [];
	let type;
	for (const e of document.getElementById("matrices").children) {
		if (e.tagName === "H2") { type = e.textContent; continue; }
		const rows = [...e.rows].map(r => ({
			heads: [...r.querySelectorAll("th")].map(h => h.textContent),
			cells: [...r.querySelectorAll("td")].map(d => {
				const b = d.querySelector("button");
				return {Square: b?.title || "", Text: b?.textContent || "", Ink: b ? getComputedStyle(b).color : "", Ground: getComputedStyle(d).backgroundColor};
			}),
		}));
		found.push({
			Type: type,
			Columns: rows.filter(r => !r.cells.length).flatMap(r => r.heads.slice(1)),
			Rows: rows.filter(r => r.cells.length).map(r => ({Name: r.heads[0], Cells: r.cells})),
		});
	}
	return found;
})()`

// A shown is a case as the page shows it below the matrices.
type shown struct {
	Summary, Rule, Source, Found, Said, Calls, Replay string
	Ink, Ground                                       string
	Open                                              bool
}

const details = `[...document.querySelectorAll("#cases details")].map(d => {
	const text = s => d.querySelector(s)?.textContent || "", summary = d.querySelector("summary"), style = getComputedStyle(summary);
	return {
		Summary: summary.firstChild.textContent + text("summary b"), Rule: text("summary .rule"), Source: text(".source"),
		Found: text(".found"), Said: text(".said"), Calls: text(".calls"), Replay: text(".replay"),
		Ink: style.color, Ground: style.backgroundColor, Open: d.open,
	};
})`

// kinds are the colours of squares, the first that applies.
var kinds = []struct {
	name     string
	verdicts []scenario.Verdict
}{
	{"red", []scenario.Verdict{scenario.Fail, scenario.Fixed, scenario.Flaky}},
	{"orange", []scenario.Verdict{scenario.NotRun}},
	{"yellow", []scenario.Verdict{scenario.Expected}},
	{"green", []scenario.Verdict{scenario.Pass}},
	{"grey", []scenario.Verdict{scenario.Unsupported}},
}

func kind(cases []scenario.Result) string {
	for _, k := range kinds {
		if slices.ContainsFunc(cases, func(c scenario.Result) bool { return slices.Contains(k.verdicts, c.Verdict) }) {
			return k.name
		}
	}
	return "white"
}

// text is what a square says: passes, and marks before the other numbers.
func text(cases []scenario.Result) string {
	n := map[scenario.Verdict]int{}
	for _, c := range cases {
		n[c.Verdict]++
	}
	if n[scenario.Unsupported] == len(cases) {
		return "-"
	}
	s := fmt.Sprint(n[scenario.Pass])
	for _, more := range []struct {
		mark string
		n    int
	}{{"x", n[scenario.Expected]}, {"!", n[scenario.Fail] + n[scenario.Fixed] + n[scenario.Flaky]}, {"?", n[scenario.NotRun]}} {
		if more.n > 0 {
			s += fmt.Sprint(more.mark, more.n)
		}
	}
	return s
}

// The page shows what the JSON report of the same run has.
func TestPage(t *testing.T) {
	chromium(t)
	r := run(t)
	squares := r.squares()
	for _, want := range kinds {
		found := slices.ContainsFunc(slices.Collect(maps.Values(squares)), func(c []scenario.Result) bool { return kind(c) == want.name })
		if !found {
			t.Fatalf("the run has no square that is %s", want.name)
		}
	}
	if !slices.ContainsFunc(r.Cases, func(c scenario.Result) bool {
		return strings.Contains(fmt.Sprint(c.Findings), "the disk is full of eels")
	}) {
		t.Fatal("the run has nothing of standard error")
	}
	t.Run("matrices", func(t *testing.T) { matrices(t, r) })
	t.Run("click", func(t *testing.T) {
		p, rules := openTab(t, r.page, ""), catalogue(t)
		for _, name := range slices.Sorted(maps.Keys(squares)) {
			if cases := squares[name]; kind(cases) == "red" || cases[0].Kernel() {
				click(t, p, r, rules, name)
			}
		}
		p.quiet(r.page)
	})
	t.Run("address", func(t *testing.T) { addressed(t, r) })
	t.Run("keyboard", func(t *testing.T) { keyboard(t, r) })
	t.Run("text of a peer", func(t *testing.T) { hostileText(t, r) })
	t.Run("replay", func(t *testing.T) { replay(t, r) })
	t.Run("elsewhere", func(t *testing.T) { elsewhere(t, r) })
}

// Each socket type has one matrix, with a row and a column a peer that is there, and
// the kernel's square; each is of the colour of its cases, and can be read.
func matrices(t *testing.T, r play) {
	p := openTab(t, r.page, "")
	squares, there := r.squares(), r.there()
	seen := map[string]bool{}
	grounds := map[string]string{} // of each kind
	var of []string
	for _, table := range value[[]table](p, tables) {
		rows := there
		if len(table.Columns) == 0 {
			rows = []string{scenario.KernelName}
		} else if of = append(of, table.Type); !slices.Equal(table.Columns, there) {
			t.Errorf("%s: columns %v, want %v", table.Type, table.Columns, there)
		}
		for i, row := range table.Rows {
			if len(table.Rows) != len(rows) || row.Name != rows[i] || len(row.Cells) != len(rows) {
				t.Fatalf("%s: row %d of %d is %+v, want %s", table.Type, i, len(table.Rows), row, rows)
			}
			for j, cell := range row.Cells {
				name := strings.Join([]string{table.Type, rows[i], rows[j]}, "/")
				cases := squares[name]
				want := kind(cases)
				if old, ok := grounds[want]; ok && old != cell.Ground {
					t.Errorf("%s: %s is %s, and %s", name, want, old, cell.Ground)
				}
				grounds[want] = cell.Ground
				seen[name] = len(cases) > 0
				if len(cases) == 0 {
					if cell.Square != "" {
						t.Errorf("%s has a button, and no cases", name)
					}
					continue
				}
				if cell.Square != name || cell.Text != text(cases) {
					t.Errorf("%s: got %+v, want %s", name, cell, text(cases))
				}
				legible(t, name, cell.Ink, cell.Ground)
			}
		}
	}
	if !slices.Equal(of, contract.SocketTypes) {
		t.Errorf("matrices of %v", of)
	}
	for name := range squares {
		if !seen[name] {
			t.Errorf("%s is not there", name)
		}
	}
	names := map[string]string{}
	for kind, ground := range grounds {
		if other, ok := names[ground]; ok {
			t.Errorf("%s and %s are the same", kind, other)
		}
		names[ground] = kind
	}
	red, green := rgb(t, grounds["red"]), rgb(t, grounds["green"])
	if red[0] <= red[1] || red[0] <= red[2] || green[1] <= green[0] || green[1] <= green[2] {
		t.Errorf("red is %v, green is %v", red, green)
	}
	// The names at the top end where their columns begin.
	if gap := value[float64](p, `Math.max(...[...document.querySelectorAll("th.up")].map(h => h.getBoundingClientRect().bottom - h.firstChild.getBoundingClientRect().bottom))`); gap < 0 || gap > 10 {
		t.Errorf("a name is %v above its column", gap)
	}
	if body := value[string](p, "document.body.innerText"); !strings.Contains(body, "not there: no compiler </script><b>x") || strings.Contains(body, "Cut short") {
		t.Errorf("got %s", body)
	}
	p.quiet(r.page)
}

// click opens a square, which is red or the kernel's, with the mouse.
func click(t *testing.T, p *tab, r play, rules map[string][]string, name string) {
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("button[title=%q]", name))))
	p.until(opened(name))
	if got := value[string](p, "location.href"); got != address(r.page, name) {
		t.Errorf("%s: the address is %s", name, got)
	}
	if at := value[[]float64](p, `(() => { const b = document.getElementById("title").getBoundingClientRect(); return [b.top, b.bottom, innerHeight]; })()`); at[0] < 0 || at[1] > at[2] {
		t.Errorf("%s: what is opened is out of sight: %v", name, at)
	}
	got, want := value[[]shown](p, details), ranked(r.squares()[name])
	if len(got) != len(want) {
		t.Fatalf("%s: %d cases, want %d", name, len(got), len(want))
	}
	for i, c := range want {
		g := got[i]
		rule := rules[strings.Join(strings.Split(c.Name, "/")[:2], "/")]
		if g.Summary != fmt.Sprintf("%s: %s", c.Verdict, c.Name) || g.Rule != rule[0] || g.Source != strings.Join(rule[1:], "\n") {
			t.Errorf("%s: got %+v", c.Name, g)
		}
		found := strings.Split(g.Found, "\n")
		for _, f := range c.Findings {
			line := f.String()
			if f.Line > 0 {
				line = fmt.Sprintf("line %d: %s", f.Line, f)
			}
			if !strings.Contains(g.Found, line) {
				t.Errorf("%s: no %q in %q", c.Name, line, found)
			}
		}
		if !strings.HasPrefix(g.Found, c.Why) || g.Said != strings.Join(c.Transcript, "\n") || g.Calls != strings.Join(report.Trace(c), "\n") {
			t.Errorf("%s: got %+v", c.Name, g)
		}
		if c.Verdict == scenario.Fail && (g.Said == "" || g.Calls == "" || !strings.HasPrefix(g.Replay, "scm interop replay ")) {
			t.Errorf("%s: something is missing: %+v", c.Name, g)
		}
		// The first is why a red square is opened.
		if red := i == 0 && kind(want) == "red"; g.Open != red {
			t.Errorf("%s: open: %v", c.Name, g.Open)
		}
		legible(t, c.Name, g.Ink, g.Ground)
	}
	// The others open by themselves.
	last := fmt.Sprintf("#cases details:nth-child(%d)", len(got))
	if before := value[bool](p, fmt.Sprintf("document.querySelector(%q).open", last)); !before {
		p.do(chromedp.Click(chromedp.CSS(last + " summary")))
		p.until(fmt.Sprintf("document.querySelector(%q).open", last))
	}
	if said := want[len(want)-1].Transcript; len(said) > 0 {
		if visible := value[string](p, fmt.Sprintf(`document.querySelector(%q).innerText`, last+" .said")); visible != strings.Join(said, "\n") {
			t.Errorf("%s: to see is %q, want %q", name, visible, said)
		}
	}
}

// opened is the condition that a square is.
func opened(name string) string {
	return fmt.Sprintf(`document.getElementById("title").checkVisibility() && document.getElementById("title").textContent === %q && document.querySelector("[aria-current]")?.title === %q`, name, name)
}

// catalogue are the rules of the scenarios.
func catalogue(t *testing.T) map[string][]string {
	t.Helper()
	rules := map[string][]string{}
	for _, name := range scenarios {
		rules[name] = show(t, name)
	}
	return rules
}

// addressed opens the page at a square, goes to another one and back, and to none.
func addressed(t *testing.T, r play) {
	const first, second = "stream/good/sloppy", "dgram/sloppy/runner"
	p := openTab(t, r.page, first)
	p.until(opened(first))
	if got := value[[]shown](p, details); len(got) != len(r.squares()[first]) {
		t.Errorf("got %+v", got)
	}
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("button[title=%q]", second))))
	p.until(opened(second))
	p.do(chromedp.NavigateBack())
	p.until(opened(first))
	// Neither a square that there is not, nor what is no address at all.
	for _, hash := range []string{"stream/nobody/good", "%", "%E0", ""} {
		p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.hash = %q", hash)))
		p.until(`!document.getElementById("title").checkVisibility() && !document.querySelector("[aria-current]")`)
		value[string](p, "location.href")
		p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.hash = %q", second)))
		p.until(opened(second))
	}
	p.quiet(r.page)
}

// keyboard opens a square and a case in it without a mouse.
func keyboard(t *testing.T, r play) {
	const name = "stream/sloppy/sloppy"
	p := openTab(t, r.page, "")
	p.do(chromedp.KeyEvent(kb.Tab))
	for range len(r.squares()) {
		if value[string](p, "document.activeElement.title") == name {
			break
		}
		p.do(chromedp.KeyEvent(kb.Tab))
	}
	if got := value[string](p, "document.activeElement.title"); got != name {
		t.Fatalf("the keyboard is at %q", got)
	}
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(opened(name))
	// What comes next is the first case, which is open.
	p.do(chromedp.KeyEvent(kb.Tab))
	p.until(`document.activeElement === document.querySelector("#cases summary")`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`!document.querySelector("#cases details").open`)
	p.quiet(r.page)
}

// What a peer says is text.
func hostileText(t *testing.T, r play) {
	const name = "stream/liar/good"
	p := openTab(t, r.page, name)
	p.until(opened(name))
	got := value[[]shown](p, details)
	if i := slices.IndexFunc(got, func(s shown) bool {
		return strings.Contains(s.Found, fmt.Sprintf("%q", "err lib "+hostile)) && strings.Contains(s.Said, hostile)
	}); i < 0 {
		t.Errorf("no %s in %+v", hostile, got)
	}
	if n := value[int](p, `document.querySelectorAll("img, script ~ script, b:not(summary > b)").length`); n > 0 || value[bool](p, `"ran" in globalThis`) {
		t.Errorf("%d elements of the peer's", n)
	}
	p.quiet(r.page)
}

// replay types what the page says.
func replay(t *testing.T, r play) {
	const name = "stream/good/sloppy"
	p := openTab(t, r.page, name)
	p.until(opened(name))
	for i, c := range ranked(r.squares()[name]) {
		if c.Verdict == scenario.Unsupported {
			continue
		}
		cmd := exec.Command("sh", "-c", value[[]shown](p, details)[i].Replay)
		cmd.Dir = r.dir
		cmd.Env = append(cmd.Environ(), "PATH="+binaries+":/usr/bin:/bin")
		var said strings.Builder // Which programs it runs, for who replays a report of somebody else's.
		cmd.Stderr = &said
		out, err := cmd.Output()
		if want := fmt.Sprintf("%s: it was %s, and is %s\n", c.Name, c.Verdict, c.Verdict); !strings.HasPrefix(string(out), want) || (err == nil) == c.Unexpected() {
			t.Errorf("%s: %v\n%s%s", cmd, err, said.String(), out)
		}
	}
}

// elsewhere is the page as it is when no JSON report was kept beside it.
func elsewhere(t *testing.T, r play) {
	again := *r.Report
	again.Replay = ""
	file := t.TempDir() + "/page.html"
	if err := again.WriteFile(context.Background(), file); err != nil {
		t.Fatal(err)
	}
	const name = "stream/good/sloppy"
	p := openTab(t, file, name)
	p.until(opened(name))
	c := ranked(r.squares()[name])[0]
	if got := value[[]shown](p, details)[0]; got.Replay != "scm interop replay REPORT.json#"+c.Name {
		t.Errorf("got %+v", got)
	}
	p.quiet(file)
}

// A run that did not come to its end says so.
func TestCutShort(t *testing.T) {
	chromium(t)
	r := run(t, "--fail-fast", "--jobs", "1")
	if r.Cut == "" {
		t.Fatal("the run was not cut short")
	}
	p := openTab(t, r.page, "")
	if body := value[string](p, "document.body.innerText"); !strings.Contains(body, "Cut short: "+r.Cut) {
		t.Errorf("got %s", body)
	}
	p.quiet(r.page)
}

// colour is how a browser writes one that lets nothing through.
var colour = regexp.MustCompile(`^rgb\((\d+), (\d+), (\d+)\)$`)

func rgb(t *testing.T, text string) (c [3]float64) {
	t.Helper()
	m := colour.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is no colour", text)
	}
	for i := range c {
		if _, err := fmt.Sscan(m[i+1], &c[i]); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// legible checks the contrast, of which WCAG 2.1 §1.4.3 wants 4.5.
func legible(t *testing.T, what, ink, ground string) {
	t.Helper()
	luminance := func(text string) (l float64) {
		for i, part := range rgb(t, text) {
			part /= 255
			if part <= 0.04045 {
				part /= 12.92
			} else {
				part = math.Pow((part+0.055)/1.055, 2.4)
			}
			l += part * []float64{0.2126, 0.7152, 0.0722}[i]
		}
		return l
	}
	a, b := luminance(ink), luminance(ground)
	if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); contrast < 4.5 {
		t.Errorf("%s: %s on %s has contrast %.1f", what, ink, ground, contrast)
	}
}
