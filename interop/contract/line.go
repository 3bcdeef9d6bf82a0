// Package contract implements the contract between the runner and a peer, which
// interop/peers/README.md describes. It parses the lines that the runner and a peer exchange, and
// defines the six commands that every peer implements.
package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// MaxLine is the maximum length of a line in bytes, not counting the newline.
const MaxLine = 16 << 10

// A Line is a command or an answer, split into words.
type Line struct {
	Verb   string            // the first word
	Fields map[string]string // the words of the form KEY=VALUE
	Words  []string          // the other words
}

// ParseLine splits a command or an answer into words. It returns an error if a field is repeated,
// or if the words are not separated by single spaces.
func ParseLine(s string) (Line, error) {
	l := Line{Fields: map[string]string{}}
	parts := strings.Split(s, " ")
	l.Verb = parts[0]
	if l.Verb == "" {
		return l, fmt.Errorf("line is empty or begins with a space: %s", Quote(s))
	}
	for i, w := range parts[1:] {
		key, value, ok := strings.Cut(w, "=")
		switch {
		case w == "":
			return l, fmt.Errorf("words must be separated by one space: %s", Quote(s))
		case l.Verb == "err" && i == 0 && w == "lib":
			l.Words = append(l.Words, w)
			return l, nil // the rest is text
		case !ok:
			l.Words = append(l.Words, w)
		default:
			if _, twice := l.Fields[key]; twice {
				return l, fmt.Errorf("duplicate field %s= in %s", Brief(key), Quote(s))
			}
			l.Fields[key] = value
		}
	}
	return l, nil
}

// List returns the comma-separated items of a field. It returns an empty list for "-" and "".
func (l Line) List(key string) []string {
	v := l.Fields[key]
	if v == "" || v == "-" {
		return nil
	}
	return strings.Split(v, ",")
}

// Has reports whether the line contains the word, without a value.
func (l Line) Has(word string) bool { return slices.Contains(l.Words, word) }

// Printable reports whether s is a non-empty string of printable ASCII.
func Printable(s string) bool { return s != "" && s == ASCII(s) }

// Quote returns a text from a peer as a quoted ASCII string. If the text is long, it leaves out the middle of long
// lists, whose length it gives, and then the end, each marked by "…".
func Quote(s string) string {
	const most = 200
	quoted := strconv.QuoteToASCII(s)
	if len(s) <= most {
		return quoted
	}
	return `"` + display.Shorten(quoted[1:len(quoted)-1], most) + `"`
}

// Brief returns the beginning of a word from a peer, for use in an error message.
func Brief(word string) string {
	if len(word) > longestWord {
		return word[:longestWord] + "…"
	}
	return word
}

// List joins the words with commas. It returns "-" for an empty list.
func List(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

// ASCII replaces each character that is not printable ASCII with a question mark.
func ASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// repeated returns the first word that repeats an earlier one, or "".
func repeated(list []string) string {
	for i, w := range list {
		if slices.Contains(list[:i], w) {
			return w
		}
	}
	return ""
}
