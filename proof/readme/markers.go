//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strings"
)

// marked matches text between markers: a comment that says what the text is, the text, and the comment "end". The
// groups are the content of the first comment and the text.
var marked = regexp.MustCompile(`(?s)<!--\s+(.*?)\s+-->\n(.*?)<!-- end -->\n`)

// fillMarkers returns a page in which each text between markers is replaced by the result of with, which gets the
// content of the first marker and the old text. It is an error if the page has none, or a marker without an end.
func fillMarkers(name, page string, with func(marker, old string) (string, error)) (string, error) {
	if !marked.MatchString(page) {
		return "", fmt.Errorf("%s has no text between markers", name)
	}
	var wrong error
	filled := marked.ReplaceAllStringFunc(page, func(text string) string {
		at := marked.FindStringSubmatchIndex(text)
		marker, old := text[at[2]:at[3]], text[at[4]:at[5]]
		replacement, err := with(marker, old)
		if strings.Contains(old, "<!--") {
			err = fmt.Errorf("no end marker after %q", marker)
		}
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("%s: %w", name, err)
		}
		return text[:at[4]] + replacement + text[at[5]:]
	})
	return filled, wrong
}
