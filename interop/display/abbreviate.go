package display

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of Abbreviate.
const (
	maxItems = 12  // in a list
	maxBytes = 64  // in hexadecimal, as one word
	maxLine  = 400 // characters
	maxWord  = 40  // characters; a longer word is cut anywhere
)

// item matches a number, bytes in hexadecimal, or a name that ends with a number. Erlang writes a
// byte as <<0>>.
const item = `(?:<<)?[@!-]?\b(?:[A-Za-z_]*[0-9]+|(?:[0-9a-f]{2})+)\b(?:>>)?`

var (
	longList = regexp.MustCompile(fmt.Sprintf(`%s(?:, ?%[1]s){%d,}`, item, maxItems))
	longHex  = regexp.MustCompile(fmt.Sprintf(`\b(?:[0-9a-f]{2}){%d,}\b`, maxBytes+1))
)

// Abbreviate shortens each line of a text for a reader. It leaves out the middle of long lists and
// long data, as in "fds=7,8,…,259 (253)" for 253 descriptors, and the end of a line that is still
// long. Abbreviate is idempotent.
func Abbreviate(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = cut(abbreviateLists(l), maxLine)
	}
	return strings.Join(lines, "\n")
}

// Shorten returns a text as one line of at most limit characters, with long lists and long data
// abbreviated.
func Shorten(text string, limit int) string {
	return cut(abbreviateLists(Line(text)), limit)
}

func abbreviateLists(line string) string {
	if len(line) < 2*maxItems {
		return line
	}
	line = longHex.ReplaceAllStringFunc(line, func(digits string) string {
		return fmt.Sprintf("%s… (%d bytes)", digits[:maxBytes/2], len(digits)/2)
	})
	return longList.ReplaceAllStringFunc(line, abbreviateList)
}

// abbreviateList returns the first items and the last, unless all are the same, and their number.
func abbreviateList(list string) string {
	separator := ","
	if strings.Contains(list, ", ") {
		separator = ", "
	}
	items := strings.Split(list, separator)
	n := len(items)
	short := []string{items[0], items[1], "…", items[n-1]}
	if strings.Count(list, items[0]+separator) == n-1 && items[n-1] == items[0] {
		short = short[:3]
	}
	return fmt.Sprintf("%s (%d)", strings.Join(short, separator), n)
}

// cut shortens a line to at most limit characters. It does not cut within a word or a number.
func cut(line string, limit int) string {
	var starts []int // of the characters; a byte that is not UTF-8 counts as one
	for i := range line {
		starts = append(starts, i)
	}
	if len(starts) <= limit {
		return line
	}
	end := limit - 1
	for end > 0 && end > limit-maxWord && withinWord(line, starts[end]) {
		end--
	}
	if withinWord(line, starts[end]) {
		end = limit - 1 // the word is too long
	}
	return strings.TrimRight(line[:starts[end]], " ,;:([{<…") + "…"
}

// withinWord reports whether the characters before and after a position belong to the same word.
func withinWord(line string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(line[:at])
	after, _ := utf8.DecodeRuneInString(line[at:])
	return isWord(before) && isWord(after)
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
