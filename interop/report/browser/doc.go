// Package browser tests the HTML report in Chromium.
//
// It is a separate module, so that go.mod of the library does not require chromedp.
package browser
