// Package browser tests the HTML report in Chromium.
//
// It belongs to the module of the proofs, so that the library's go.mod does not require chromedp.
package browser
