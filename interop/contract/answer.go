package contract

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// NumberFields are the fields of an answer that hold new descriptors, in the order in which
// they are told.
var NumberFields = []string{"fds", "fd", "pidfd"}

var (
	flagForm   = regexp.MustCompile(`^(ctrunc|trunc|eor|oob|0x[0-9a-fA-F]{1,8})$`)
	closedForm = regexp.MustCompile(`^closed(:[1-9][0-9]{0,8})?$`) // it ends the list of what was received
)

// ParseAnswer reads the answer to a command. If it returns an error, it still returns the
// descriptors that the answer names.
func ParseAnswer(verb, answer string) (got Line, numbers []int, err error) {
	if got, err = ParseLine(answer); err != nil {
		return got, nil, err
	}
	var items []string
	for _, key := range NumberFields {
		items = append(items, got.List(key)...)
	}
	for i, item := range items {
		n, e := strconv.Atoi(item)
		switch {
		case i == len(items)-1 && closedForm.MatchString(item):
		case e != nil || strconv.Itoa(n) != item:
			err = fmt.Errorf("%s is no descriptor, nor closed or closed:N at the end", Brief(item))
		default:
			numbers = append(numbers, n)
		}
	}
	n, counts := got.Fields["n"]
	if e := CheckAnswer(verb, got); e != nil {
		err = e
	} else if err == nil && counts && !isNumber(n, math.MinInt64, math.MaxInt64) {
		err = fmt.Errorf("n=%s is no number", Brief(n))
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, Quote(answer))
	}
	return got, numbers, err
}

// CheckAnswer returns an error unless a line is ok with the fields and words that the answer
// to the verb has, or err with an errno or lib.
func CheckAnswer(verb string, got Line) error {
	switch {
	case got.Verb == "err":
		return checkError(got)
	case got.Verb != "ok":
		return fmt.Errorf("an answer is ok or err, not %s", Brief(got.Verb))
	}
	answer := Verbs()[verb].answer
	for _, key := range answer.must {
		if got.Fields[key] == "" {
			return fmt.Errorf("no %s= in the answer to %s", key, verb)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got.Fields)) {
		if !slices.Contains(answer.must, key) && !slices.Contains(answer.may, key) {
			return fmt.Errorf("no answer to %s has %s=", verb, Brief(key))
		}
	}
	flags := got.List("flags")
	if text, told := got.Fields["flags"]; told && text == "" {
		return errors.New("flags= is empty")
	}
	for _, f := range flags {
		if verb == "recv" && !flagForm.MatchString(f) {
			return fmt.Errorf("%s is no flag", Brief(f))
		}
	}
	for _, w := range got.Words {
		if w != "eof" || verb != "recv" {
			return fmt.Errorf("no answer to %s has the word %s", verb, Brief(w))
		}
	}
	if w := repeated(slices.Concat(flags, got.Words)); w != "" {
		return fmt.Errorf("%s is there twice", Brief(w))
	}
	return nil
}

// checkError wants one word: the name of an errno, its number, or lib.
func checkError(l Line) error {
	if len(l.Words) != 1 || len(l.Fields) > 0 {
		return errors.New("an error is err and its name")
	}
	if w := l.Words[0]; w != "lib" && !slices.Contains(errnoNames, w) && !isNumber(w, 1, 4095) {
		return fmt.Errorf("%s is no errno", Brief(w))
	}
	return nil
}

// Same reports whether two values of a field say the same: words of a set in whatever
// order, and a mode with any number of zeros before it.
func Same(key, one, two string) bool {
	switch key {
	case "events", "seals", "value":
		return slices.Equal(slices.Sorted(strings.SplitSeq(one, ",")), slices.Sorted(strings.SplitSeq(two, ",")))
	case "mode":
		return strings.TrimLeft(one, "0") == strings.TrimLeft(two, "0")
	}
	return one == two
}
