package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// enough is more than a condition takes on any machine: who waits longer is told
// which it was.
const enough = 2 * time.Minute

// chromium is the path of the browser. Without one the test is skipped, but where CI
// is true it fails.
func chromium(t *testing.T) string {
	t.Helper()
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

// A tab is a page that is open, and what it has complained of and asked for.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// openTab opens a file, at the square that is named, if any, in a browser of its own,
// in which nothing is left of an older page.
func openTab(t *testing.T, file, square string) *tab {
	t.Helper()
	// The sandbox needs a privilege that containers withhold, and the page is our own.
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox)...))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log(err) // a browser that is told to end may be gone before it answers
		}
		cancel()
	})
	p := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(address(file, square)))
	return p
}

// address is where a browser finds a file.
func address(file, hash string) string {
	return (&url.URL{Scheme: "file", Path: file, Fragment: hash}).String()
}

// note keeps what nobody should see.
func (p *tab) note(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		what := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			what = e.Description
		}
		p.complaints = append(p.complaints, "error: "+what)
	case *runtime.EventConsoleAPICalled:
		p.complaints = append(p.complaints, "console: "+string(ev.Type))
	case *log.EventEntryAdded:
		p.complaints = append(p.complaints, fmt.Sprintf("log: %s: %s", ev.Entry.Level, ev.Entry.Text))
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, ev.Request.URL)
	}
}

// noted is what was seen until now.
func (p *tab) noted() (complaints, requests []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.complaints), slices.Clone(p.requests)
}

// quiet checks that nothing was complained of, and nothing asked for but the file.
func (p *tab) quiet(file string) {
	p.t.Helper()
	value[bool](p, "true") // the answer comes behind what the page has done before
	complaints, requests := p.noted()
	if len(complaints) > 0 {
		p.t.Errorf("complaints: %s", strings.Join(complaints, "\n"))
	}
	for _, r := range requests {
		if own, _, _ := strings.Cut(r, "#"); own != address(file, "") {
			p.t.Errorf("it asks for %s", r)
		}
	}
	if len(requests) == 0 {
		p.t.Error("not even the page was asked for")
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, enough)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a condition.
func (p *tab) until(condition string) {
	p.t.Helper()
	p.do(chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingTimeout(0)))
}

// value is what an expression comes to in the page.
func value[T any](p *tab, expression string, opts ...chromedp.EvaluateOption) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, enough)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, opts...))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// The watch sees an error, a warning and a request, where there are any.
func TestWatch(t *testing.T) {
	for name, c := range map[string]struct{ page, complaint, request string }{
		"an error":         {"<script>nobody()</script>", "error: ", ""},
		"a syntax error":   {"<script>const = 1</script>", "error: ", ""},
		"a console error":  {"<script>console.error(1)</script>", "console: error", ""},
		"a warning":        {"<script>console.warn(1)</script>", "console: warning", ""},
		"an image":         {`<img src="other.png">`, "log: error: ", "other.png"},
		"a style":          {`<link rel="stylesheet" href="other.css">`, "log: error: ", "other.css"},
		"what CSP forbids": {`<meta http-equiv="Content-Security-Policy" content="default-src 'none'"><img src="other.png">`, "log: error: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.html")
			if err := os.WriteFile(file, []byte("<!DOCTYPE html><meta charset=\"utf-8\">"+c.page), 0o666); err != nil {
				t.Fatal(err)
			}
			p := openTab(t, file, "")
			for deadline := time.Now().Add(enough); ; value[bool](p, "new Promise(done => requestAnimationFrame(() => done(true)))", chromedp.EvalAwaitPromise) {
				complaints, requests := p.noted()
				has := func(list []string, part string) bool {
					return part == "" || slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, part) })
				}
				if has(complaints, c.complaint) && has(requests, c.request) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("got %q, %q", complaints, requests)
				}
			}
		})
	}
}
