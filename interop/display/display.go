// Package display shows what somebody else wrote, a peer, a partner or a report, and knows
// which words can be names.
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

// command is how a command of a CI server begins that it obeys anywhere in a line: GitHub's
// runner "##[add-mask]", Azure's agent "##vso[task.complete]", TeamCity "##teamcity[…]".
var command = regexp.MustCompile(`(?i)##((?:vso|teamcity)?\[)`)

// Readable returns s with nothing in it that a terminal, or a CI server in the middle of a
// line, would obey: escapes stand for control characters, for what is not UTF-8, and for the
// second "#" of "##[", "##vso[" and "##teamcity[". Newlines and tabs stay. Readable of what
// it returned is the same.
func Readable(s string) string { return readable(s, "\n\t") }

// Line returns s as one line: Readable, with escapes for newlines and tabs too.
func Line(s string) string { return readable(s, "") }

func readable(s, stays string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strings.ContainsRune(stays, r), unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		s = s[size:]
	}
	return command.ReplaceAllString(b.String(), `#\x23$1`)
}

// JSON returns a JSON text in ASCII: escapes stand for every other character of its strings and
// for DEL, of which a terminal would obey some, and for the second "#" of "##[", "##vso["
// and "##teamcity[".
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

// continued begins each line of a text but the first. GitHub's runner obeys lines that begin
// with "::", whatever space is before that.
const continued = "| "

// Block returns s as a block of lines: Readable, with indent before each line and "| "
// before each but the first, so that no line of s can be taken for one of whoever
// prints it.
func Block(indent, s string) string {
	return indent + strings.ReplaceAll(Readable(s), "\n", "\n"+indent+continued)
}

// longestName is the longest name: a table has room for it.
const longestName = 64

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

// IsName reports whether a word can be the name of a peer, or a part of a scenario's: letters,
// digits and any of "_.+-", at most 64 of them. Such a word means nothing else in patterns,
// files of expected failures and reports.
func IsName(s string) bool { return len(s) <= longestName && nameForm.MatchString(s) }
