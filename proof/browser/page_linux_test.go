package browser

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/scm-rights/scm/proof/must"
)

// cells evaluates to the buttons of the matrices: the title, text, class and color of each.
const cells = `[...document.querySelectorAll(".matrix button")].map(b =>
	[b.title, b.textContent, b.parentNode.className, getComputedStyle(b.parentNode).backgroundColor].join(" "))`

// opened evaluates to the section below the matrices, or "nothing" if no cell is open.
const opened = `document.getElementById("title").checkVisibility() ? document.querySelector("section").innerText : "nothing"`

// narrow evaluates to the faults of the page in a narrow window: it is wider than the window, or the names of the
// senders do not remain visible while the reader scrolls a matrix.
const narrow = `(() => {
	const page = document.documentElement, faults = [];
	if (page.scrollWidth > page.clientWidth) faults.push("the page is " + page.scrollWidth + " pixels wide");
	for (const table of document.querySelectorAll(".matrix, .peers")) {
		table.scrollLeft = 1000;
		const left = table.getBoundingClientRect().left;
		for (const row of table.rows) {
			const name = row.cells[0];
			if (Math.abs(name.getBoundingClientRect().left - left) > 1) faults.push(name.textContent + " is out of view");
		}
	}
	return faults;
})()`

// TestPage opens the golden page of package report, which has a case of each verdict.
func TestPage(t *testing.T) {
	browser := findBrowser(t)
	file := must.Get(filepath.Abs("../../interop/report/testdata/report.html"))
	address := (&url.URL{Scheme: "file", Path: file}).String()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// The sandbox needs a privilege that containers lack. The page is our own, so it is not needed.
	ctx, end := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(
		append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox)...))
	defer end()
	events := make(chan string, 100) // errors, logs and requests of the page
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			events <- "error: " + e.ExceptionDetails.Text
		case *runtime.EventConsoleAPICalled:
			events <- "console: " + string(e.Type)
		case *log.EventEntryAdded:
			events <- "log: " + e.Entry.Text
		case *network.EventRequestWillBeSent:
			events <- e.Request.URL
		}
	}); err != nil {
		t.Fatal(err)
	}
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		must.OK(chromedp.Do(ctx, steps...))
	}
	shows := func(want ...string) {
		t.Helper()
		text := must.Get(chromedp.Run(ctx, chromedp.Evaluate[string](opened)))
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in\n%s", part, text)
			}
		}
	}
	do(chromedp.Navigate(address + "#stream/runner/libre"))
	if request := <-events; request != address {
		t.Errorf("the first request is for %s", request)
	}
	begins := must.Get(chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`)))
	for _, sentence := range []string{"Of 10 cases, 5 passed, 1 failed as expected, 4 did not end as expected. Unsupported: 3. 1 case could not be run.",
		"the kernel reports a wrong result, or makes its partner report one: 1 case, in gc/asked.", "the runner receives descriptors without close-on-exec, so child processes inherit them: 1 case, in basics/pass."} {
		before, after, found := strings.Cut(begins, sentence)
		if !found || strings.Count(before, "\n") > 12 {
			t.Errorf("the page does not begin with %q:\n%.1000s", sentence, begins)
		}
		begins = after
	}
	shows("stream/runner/libre", "fail: basics/pass/stream/runner/libre", "Rule: A rule.", "Its source.",
		"leak@libre: a, as 4, is open, and the peer did not report it", "scm interop replay REPORT.json#basics/pass/stream/runner/libre",
		"What happened\n", "A is runner, and B is libre. A> is a command to A,", "A> send payload=00 fds=4\nA< ok n=1\n    A: descriptor 4 is </script> ```\n    ✗ leak: it is open\n", "another way </script> ```", "  8 recvmsg(3) = 1",
		"unexpected pass: limits/many/stream/runner/libre")
	kinds, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelector("details[open] .said").children].map(l => l.className)`))
	if want := []string{"line", "line", "fact", "wrong"}; err != nil || !slices.Equal(kinds, want) {
		t.Errorf("got the lines %q, %v; want %q", kinds, err, want)
	}
	do(chromedp.Click(chromedp.CSS(`button[title="dgram/libre/libre"]`)))
	do(chromedp.Poll[chromedp.Void](`document.getElementById("title").textContent === "dgram/libre/libre"`))
	shows("flaky: limits/many/dgram/libre/libre")
	do(chromedp.NavigateBack(), chromedp.Poll[chromedp.Void](`document.getElementById("title").textContent === "stream/runner/libre"`))
	// A link to a case opens it, even if it is not the first one of its cell.
	do(chromedp.Click(chromedp.CSS(`a[href="#limits%2fmany%2fstream%2frunner%2flibre"]`)),
		chromedp.Poll[chromedp.Void](`document.activeElement?.parentNode.id === "limits/many/stream/runner/libre" && document.activeElement.parentNode.open`))
	// An expected failure shows its reason and its transcript.
	do(chromedp.Evaluate[chromedp.Void](`document.querySelector("li.expected").closest("details").open = true`),
		chromedp.Click(chromedp.CSS(`li.expected a`)), chromedp.Poll[chromedp.Void](`document.getElementById("title").textContent === "stream/libre/x"`))
	shows("expected: basics/pass/stream/libre/x", "cloexec@x: a received descriptor is not close-on-exec", "Expected, because\na known bug",
		"Transcript (A is libre, B is x)\nB< ok n=1 payload=00 fds=7")
	do(chromedp.Evaluate[chromedp.Void](`location.hash = "%"`), chromedp.Poll[chromedp.Void](opened+` === "nothing"`))

	got := must.Get(chromedp.Run(ctx, chromedp.Evaluate[[]string](cells)))
	const pass, expected, fail = "pass rgb(207, 236, 207)", "expected rgb(244, 233, 181)", "fail rgb(243, 188, 188)"
	const none, lost = "none rgb(238, 238, 238)", "lost rgb(246, 207, 160)"
	want := []string{
		"stream/x/libre 1 " + pass, "stream/x/runner - " + none,
		"stream/libre/x 0x1 " + expected, "stream/libre/runner 0?1 " + lost,
		"stream/runner/libre 0!2 " + fail, "stream/runner/runner 2 " + pass, "stream/kernel/kernel 0!1 " + fail,
		"dgram/x/runner - " + none, "dgram/libre/libre 0!1 " + fail, "dgram/runner/runner 1 " + pass, "dgram/kernel/kernel 1 " + pass,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// No type of socket has a row or a column without cases: x receives nothing on dgram.
	const heads = `[...document.querySelectorAll(".matrix")].map(m => [...m.rows[0].querySelectorAll(".up")].map(h => h.textContent).join(" "))`
	columns, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](heads))
	if want := []string{"x libre runner", "", "libre runner", ""}; err != nil || !slices.Equal(columns, want) {
		t.Errorf("got the columns %q, %v; want %q", columns, err, want)
	}
	do(chromedp.Evaluate[chromedp.Void](`location.hash = "stream/runner/libre"`), chromedp.Poll[chromedp.Void](`document.getElementById("title").checkVisibility()`))
	for _, width := range []int64{180, 420} {
		do(chromedp.EmulateViewport(width, 800))
		faults, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](narrow))
		if err != nil || len(faults) > 0 {
			t.Errorf("a window %d pixels wide: got the faults %q, %v; want none", width, faults, err)
		}
	}
	for len(events) > 0 {
		if event := <-events; !strings.HasPrefix(event, address) {
			t.Errorf("the browser reports %q, want only requests to %s", event, address)
		}
	}
}

// findBrowser returns the path of Chromium. If it is not installed, findBrowser skips the test, or fails it if CI=true.
func findBrowser(t *testing.T) string {
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const reason = "no chromium-headless-shell in PATH (Debian: chromium-headless-shell)"
	if os.Getenv("CI") == "true" {
		t.Fatal(reason + ", and CI=true")
	}
	t.Skip(reason)
	return ""
}
