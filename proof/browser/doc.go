// Package browser tests the HTML report in Chromium.
//
// It is a separate module so that the library's go.mod does not require chromedp.
package browser
