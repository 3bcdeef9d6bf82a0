package kernel

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// oneOf returns a kind that accepts one of the given words.
func oneOf(words ...string) contract.Kind {
	return contract.KindOf(func(text string) (string, bool) { return text, slices.Contains(words, text) })
}

// matching returns a kind that accepts a text if all of it matches the regular expression.
func matching(expression string) contract.Kind {
	form := regexp.MustCompile("^(?:" + expression + ")$")
	return contract.KindOf(func(text string) (string, bool) { return text, form.MatchString(text) })
}

// either returns a kind that parses a text with the first of the given kinds that accepts it.
func either(kinds ...contract.Kind) contract.Kind {
	return func(text string) (any, bool) {
		for _, kind := range kinds {
			if value, ok := kind(text); ok {
				return value, true
			}
		}
		return nil, false
	}
}

// each returns the kind of a list of values separated by vertical bars, with one value per message
// of a call. The parsed value is a []any.
func each(part contract.Kind) contract.Kind {
	return contract.KindOf(func(text string) ([]any, bool) {
		var parts []any
		for p := range strings.SplitSeq(text, "|") {
			value, ok := part(p)
			if !ok {
				return nil, false
			}
			parts = append(parts, value)
		}
		return parts, true
	})
}

// argument is the kind of an integer argument of a system call, in any base.
var argument = contract.KindOf(parseArgument)

func parseArgument(text string) (int, bool) {
	n, err := strconv.ParseInt(text, 0, 64)
	return int(n), err == nil && n >= math.MinInt32 && n <= math.MaxUint32
}

var octal = regexp.MustCompile(`^0([1-7]?[0-7]{3})?$`)

// parseMode parses a file mode, such as 0640.
func parseMode(text string) (int, bool) {
	n, _ := strconv.ParseInt(text, 8, 32)
	return int(n), octal.MatchString(text)
}

// parseInetName parses a port of the loopback interface, such as inet:80.
func parseInetName(text string) (string, bool) {
	port, ok := strings.CutPrefix(text, "inet:")
	_, fits := contract.Integer(0, math.MaxUint16)(port)
	return text, ok && fits
}

// A Setting is the value of set= in an fcntl call, such as fl:append,nonblock, fd:cloexec or
// pipe_sz:4096.
type Setting struct {
	What  string
	Flags []string
	Size  int
}

var settings = map[string]contract.Kind{
	"fl":      contract.WordList(Words["fcntl flags"]...),
	"fd":      contract.WordList("cloexec"),
	"pipe_sz": int31,
}

func parseSetting(text string) (Setting, bool) {
	what, text, _ := strings.Cut(text, ":")
	s := Setting{What: what}
	kind := settings[what]
	if kind == nil {
		return s, false
	}
	value, ok := kind(text)
	s.Flags, _ = value.([]string)
	s.Size, _ = value.(int)
	return s, ok
}

// SameValue reports whether two values of a field in an answer are equivalent. The words in a set
// may be in any order, and leading zeros in a mode are ignored.
func SameValue(field, a, b string) bool {
	switch field {
	case "events", "seals", "value":
		return slices.Equal(slices.Sorted(strings.SplitSeq(a, ",")), slices.Sorted(strings.SplitSeq(b, ",")))
	case "mode":
		return strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0")
	}
	return a == b
}
