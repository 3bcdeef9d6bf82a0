// Package browser opens the page of a run, as "scm interop run --report x.html" writes
// it, in Chromium, and holds what it shows against the JSON report of the same run.
//
// The folder is a module of its own because of chromedp: the library's go.mod has
// nothing that only these tests need.
package browser
