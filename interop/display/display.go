// Package display prepares text from an untrusted source, such as a peer, a partner or a
// report, for printing. It also defines which words are valid names.
package display

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// command matches the prefix of a command that a CI server executes anywhere in a line:
// "##[add-mask]" of GitHub's runner, "##vso[task.complete]" of Azure's agent, and
// "##teamcity[…]" of TeamCity.
var command = regexp.MustCompile(`(?i)##((?:vso|teamcity)?\[)`)

// Readable returns s in a form that is safe to print on a terminal, or within a line of the
// log of a CI server. It replaces control characters, bytes that are not UTF-8, and the
// second "#" of "##[", "##vso[" and "##teamcity[" with escapes. It keeps newlines and tabs.
// Readable is idempotent.
func Readable(s string) string { return readable(s, "\n\t") }

// Line returns s as one line. Line is like Readable, but also escapes newlines and tabs.
func Line(s string) string { return readable(s, "") }

func readable(s, kept string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strings.ContainsRune(kept, r), unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		s = s[size:]
	}
	return command.ReplaceAllString(b.String(), `#\x23$1`)
}

// JSON returns a JSON text as ASCII. It escapes DEL and all characters outside ASCII, because
// some of them control the terminal. It also escapes the second "#" of "##[", "##vso[" and
// "##teamcity[", which begin commands to CI servers.
func JSON(text []byte) []byte {
	var b []byte
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b = append(b, byte(r))
		case r <= 0xffff:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return command.ReplaceAll(b, []byte(`#\u0023$1`))
}

// continued starts each line of a text except the first. GitHub's runner executes a line that
// starts with "::" as a command, even after white space, so indenting it is not enough.
const continued = "| "

// Block returns s as a block of lines. Block is like Readable, but also puts indent before
// each line, and "| " before each line except the first. No line of s can then be mistaken
// for output of the program that prints it.
func Block(indent, s string) string {
	return indent + strings.ReplaceAll(Readable(s), "\n", "\n"+indent+continued)
}

// Plural returns a number with a noun: "1 byte", "2 bytes" and so on.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// longestName is the length of the longest valid name. It keeps tables readable.
const longestName = 64

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

// IsName reports whether s can be the name of a peer, or the group or ID of a scenario. A name
// consists of at most 64 letters, digits and characters of "_.+-", and begins with a letter or a
// digit. Such a name has no special meaning in patterns, in lists of expected failures or in
// reports.
func IsName(s string) bool { return len(s) <= longestName && nameForm.MatchString(s) }

// Pattern returns a pattern for -run that selects this test, such as TestA/b. In a shell, it needs apostrophes around
// it, so it has a dot for each apostrophe of the name. If that is replaced by another character in the name of a second
// test, the pattern selects both.
func Pattern(test string) string {
	return "^" + strings.NewReplacer("/", "$/^", "'", ".").Replace(regexp.QuoteMeta(test)) + "$"
}
