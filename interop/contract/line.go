// Package contract is the language of interop/peers/README.md: commands and answers, what
// a peer says of itself, and the calls that the runner's own side makes.
package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxLine is the longest line that the contract allows, without its newline.
const MaxLine = 16 << 10

// A Line is a command or an answer in words: the verb, the fields KEY=VALUE, and the other
// words.
type Line struct {
	Verb   string
	Fields map[string]string
	Words  []string
}

// ParseLine splits a command or an answer. It returns an error if a field is there twice,
// or two spaces follow each other.
func ParseLine(s string) (Line, error) {
	l := Line{Fields: map[string]string{}}
	parts := strings.Split(s, " ")
	l.Verb = parts[0]
	if l.Verb == "" {
		return l, fmt.Errorf("no word in %s", Quote(s))
	}
	for i, w := range parts[1:] {
		key, value, ok := strings.Cut(w, "=")
		switch {
		case w == "":
			return l, fmt.Errorf("two spaces in %s", Quote(s))
		case l.Verb == "err" && i == 0 && w == "lib":
			l.Words = append(l.Words, w)
			return l, nil // the rest is text
		case !ok:
			l.Words = append(l.Words, w)
		default:
			if _, twice := l.Fields[key]; twice {
				return l, fmt.Errorf("%s= twice in %s", Brief(key), Quote(s))
			}
			l.Fields[key] = value
		}
	}
	return l, nil
}

// List splits a field at its commas. "-" and "" are empty.
func (l Line) List(key string) []string {
	v := l.Fields[key]
	if v == "" || v == "-" {
		return nil
	}
	return strings.Split(v, ",")
}

// Has reports whether the line has the word.
func (l Line) Has(word string) bool { return slices.Contains(l.Words, word) }

// Printable reports whether s is a line of printable ASCII, and not empty.
func Printable(s string) bool { return s != "" && s == ASCII(s) }

// Quote returns the beginning of what a peer said, in quotes, in one line, whatever it is.
func Quote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// Brief returns the beginning of a peer's word, for a message.
func Brief(word string) string {
	if len(word) > longestWord {
		return word[:longestWord] + "…"
	}
	return word
}

// List joins words at commas; "-" is none.
func List(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

// ASCII returns a text in which what is not printable ASCII is a question mark.
func ASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// repeated returns the first word that is in a list a second time, or "".
func repeated(list []string) string {
	for i, w := range list {
		if slices.Contains(list[:i], w) {
			return w
		}
	}
	return ""
}
