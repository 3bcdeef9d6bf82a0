package contract

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// A Kind defines the valid values of a field. It parses a value and reports whether the value is
// valid.
type Kind func(text string) (value any, ok bool)

// KindOf returns a Kind that parses values with the given function.
func KindOf[T any](parse func(text string) (T, bool)) Kind {
	return func(text string) (any, bool) { return parse(text) }
}

// WordList returns a Kind for lists: the given words, separated by commas. An empty list is written as "-". The parsed
// value is a []string.
func WordList(words ...string) Kind {
	return KindOf(func(text string) ([]string, bool) {
		if text == "-" {
			return nil, true
		}
		list := strings.Split(text, ",")
		return list, !slices.ContainsFunc(list, func(w string) bool { return !slices.Contains(words, w) })
	})
}

// Integer returns the Kind of an integer from least to most, formatted like the result of
// strconv.Itoa. The parsed value is an int.
func Integer(least, most int64) Kind {
	return KindOf(func(text string) (int, bool) {
		n, err := strconv.ParseInt(text, 10, 64)
		return int(n), err == nil && n >= least && n <= most && strconv.FormatInt(n, 10) == text
	})
}

func isInteger(text string, least, most int64) bool {
	_, ok := Integer(least, most)(text)
	return ok
}

// IntegerList returns a Kind for lists: integers of the Kind item, separated by commas. The length of the list is from
// least to most. An empty list is written as "-". The parsed value is a []int.
func IntegerList(item Kind, least, most int) Kind {
	return KindOf(func(text string) ([]int, bool) {
		if text == "-" {
			return nil, least == 0
		}
		var list []int
		for w := range strings.SplitSeq(text, ",") {
			n, ok := item(w)
			if !ok {
				return list, false
			}
			list = append(list, n.(int))
		}
		return list, len(list) >= least && len(list) <= most
	})
}

// ParseHex parses one or more bytes, each written as two lower-case hexadecimal digits.
func ParseHex(text string) ([]byte, bool) {
	b, err := hex.DecodeString(text)
	return b, err == nil && len(b) > 0 && strings.ToLower(text) == text
}
