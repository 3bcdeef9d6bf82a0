package contract

import (
	"fmt"
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
	text   string // of "err lib TEXT"
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
			l.text = strings.Join(parts[2:], " ")
			return l, nil
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
func (l Line) Has(word string) bool {
	for _, w := range l.Words {
		if w == word {
			return true
		}
	}
	return false
}

// Printable reports whether s is a line of printable ASCII, and not empty.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

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
