package interop

import (
	"fmt"
	"strconv"
	"strings"
)

// maxLine is the longest line that the contract allows, without its newline.
const maxLine = 16 << 10

// A line is a command or an answer, split into words: the first one, the
// fields, and words without a "=".
type line struct {
	verb   string
	fields map[string]string
	words  []string
	text   string // of "err lib TEXT"
}

func parseLine(s string) (line, error) {
	l := line{fields: map[string]string{}}
	parts := strings.Split(s, " ")
	l.verb = parts[0]
	if l.verb == "" {
		return l, fmt.Errorf("no word in %s", quote(s))
	}
	for i, w := range parts[1:] {
		key, value, ok := strings.Cut(w, "=")
		switch {
		case w == "":
			return l, fmt.Errorf("two spaces in %s", quote(s))
		case l.verb == "err" && i == 0 && w == "lib":
			l.words = append(l.words, w)
			l.text = strings.Join(parts[2:], " ")
			return l, nil
		case !ok:
			l.words = append(l.words, w)
		default:
			if _, twice := l.fields[key]; twice {
				return l, fmt.Errorf("%s= twice in %s", brief(key), quote(s))
			}
			l.fields[key] = value
		}
	}
	return l, nil
}

// list splits a comma-separated field; "-" and "" are empty.
func (l line) list(key string) []string {
	v := l.fields[key]
	if v == "" || v == "-" {
		return nil
	}
	return strings.Split(v, ",")
}

func (l line) has(word string) bool {
	for _, w := range l.words {
		if w == word {
			return true
		}
	}
	return false
}

// printable tells whether an answer is text at all.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// quote shows what a peer said, whatever it is, in one line of bounded length.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// brief is the beginning of a word that a peer said.
func brief(word string) string {
	if len(word) > longestWord {
		return word[:longestWord] + "…"
	}
	return word
}
