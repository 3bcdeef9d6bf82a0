// Package browser opens a report's page in Chromium, and looks at what it shows.
//
// The folder is a module of its own because of chromedp: the library's go.mod has
// nothing that only this test needs.
package browser
