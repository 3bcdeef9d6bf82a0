package contract

import (
	"encoding/hex"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A kind reads the value of a field. It reports whether the text is one.
type kind func(text string) (value any, ok bool)

// word is any of these, as it is, and matching what a regular expression describes.
func word(list ...string) kind {
	return func(text string) (any, bool) { return text, slices.Contains(list, text) }
}

func matching(expression string) kind {
	form := regexp.MustCompile("^(?:" + expression + ")$")
	return func(text string) (any, bool) { return text, form.MatchString(text) }
}

// either is of the first kind that fits.
func either(kinds ...kind) kind {
	return func(text string) (any, bool) {
		for _, k := range kinds {
			if value, ok := k(text); ok {
				return value, true
			}
		}
		return nil, false
	}
}

// words are a list of these, or "-": a []string.
func words(list []string) kind {
	return func(text string) (any, bool) {
		if text == "-" {
			return []string(nil), true
		}
		all := strings.Split(text, ",")
		return all, !slices.ContainsFunc(all, func(w string) bool { return !slices.Contains(list, w) })
	}
}

// each are parts between bars, one a message: a []any.
func each(part kind) kind {
	return func(text string) (any, bool) {
		var parts []any
		for p := range strings.SplitSeq(text, "|") {
			value, ok := part(p)
			if !ok {
				return nil, false
			}
			parts = append(parts, value)
		}
		return parts, true
	}
}

// number is an int as it would be printed.
func number(least, most int64) kind {
	return func(text string) (any, bool) {
		n, err := strconv.ParseInt(text, 10, 64)
		return int(n), err == nil && n >= least && n <= most && strconv.FormatInt(n, 10) == text
	}
}

func isNumber(text string, least, most int64) bool {
	_, ok := number(least, most)(text)
	return ok
}

// argument is an int that a call takes, to any base, and mode one in octal digits.
func argument(text string) (any, bool) {
	n, err := strconv.ParseInt(text, 0, 64)
	return int(n), err == nil && n >= math.MinInt32 && n <= math.MaxUint32
}

var octal = regexp.MustCompile(`^0([1-7]?[0-7]{3})?$`)

func mode(text string) (any, bool) {
	n, _ := strconv.ParseInt(text, 8, 32)
	return int(n), octal.MatchString(text)
}

// numbers are a list of so many descriptors, each of the kind, or "-" for none: a []int.
func numbers(item kind, least, most int) kind {
	return func(text string) (any, bool) {
		var list []int
		if text == "-" {
			return list, least == 0
		}
		for w := range strings.SplitSeq(text, ",") {
			n, ok := item(w)
			if !ok {
				return list, false
			}
			list = append(list, n.(int))
		}
		return list, len(list) >= least && len(list) <= most
	}
}

// inetName is a port of the loopback interface.
func inetName(text string) (any, bool) {
	port, ok := strings.CutPrefix(text, "inet:")
	return text, ok && isNumber(port, 0, math.MaxUint16)
}

// hexBytes are at least one byte.
func hexBytes(text string) (any, bool) {
	b, err := hex.DecodeString(text)
	return b, err == nil && len(b) > 0 && strings.ToLower(text) == text
}

// A Setting is what fcntl sets: fl:append,nonblock, fd:cloexec or pipe_sz:4096.
type Setting struct {
	What  string
	Flags []string
	Size  int
}

func setting(text string) (any, bool) {
	what, text, _ := strings.Cut(text, ":")
	s := Setting{What: what}
	read := map[string]kind{"fl": words(Words["fcntl flags"]), "fd": words([]string{"cloexec"}), "pipe_sz": int31}[what]
	if read == nil {
		return s, false
	}
	value, ok := read(text)
	s.Flags, _ = value.([]string)
	s.Size, _ = value.(int)
	return s, ok
}

// Bits are the numbers of Words, which a set of them is the sum of.
type Bits struct {
	words []string
	bits  []int
}

// BitsOf returns the numbers of the words of a field, in their order.
func BitsOf(field string, bits ...int) Bits {
	if len(bits) != len(Words[field]) {
		panic(field)
	}
	return Bits{Words[field], bits}
}

// Sum returns the bits of words.
func (b Bits) Sum(list ...string) (sum int) {
	for _, w := range list {
		sum |= b.bits[slices.Index(b.words, w)]
	}
	return sum
}

// Names returns the words of the bits that are set, or "-".
func (b Bits) Names(sum int) string {
	var list []string
	for i, w := range b.words {
		if sum&b.bits[i] != 0 {
			list = append(list, w)
		}
	}
	return List(list)
}

// Name returns the word that has these bits, and no others, or "".
func (b Bits) Name(bits int) string {
	if i := slices.Index(b.bits, bits); i >= 0 {
		return b.words[i]
	}
	return ""
}
