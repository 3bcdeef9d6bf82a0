package contract

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
)

var (
	flagForm   = regexp.MustCompile(`^(ctrunc|trunc|eor|oob|0x[0-9a-fA-F]{1,8})$`)
	closedForm = regexp.MustCompile(`^closed(:[1-9][0-9]{0,8})?$`) // the last item of a list of descriptors
)

// ParseAnswer parses the answer to a command of the vocabulary. Even if it returns an error, it
// returns the descriptors that the answer names.
func ParseAnswer(v *Vocabulary, command, answer string) (got Line, fds []int, err error) {
	if got, err = ParseLine(answer); err != nil {
		return got, nil, err
	}
	var items []string
	for _, key := range v.fdFields {
		items = append(items, got.List(key)...)
	}
	for i, item := range items {
		n, e := strconv.Atoi(item)
		switch {
		case i == len(items)-1 && closedForm.MatchString(item):
		case e != nil || strconv.Itoa(n) != item:
			err = fmt.Errorf("%s is not a descriptor, and only the last item can be closed or closed:N", Brief(item))
		default:
			fds = append(fds, n)
		}
	}
	n, counts := got.Fields["n"]
	if e := ValidateAnswer(v, command, got); e != nil {
		err = e
	} else if err == nil && counts && !isInteger(n, math.MinInt64, math.MaxInt64) {
		err = fmt.Errorf("n=%s is not an integer", Brief(n))
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, Quote(answer))
	}
	return got, fds, err
}

// ValidateAnswer returns an error unless the line is a valid answer to the command. A valid answer is
// either ok with the fields and words that the command allows, or err with an errno or the word lib.
func ValidateAnswer(v *Vocabulary, command string, got Line) error {
	switch {
	case got.Verb == "err":
		return validateError(got)
	case got.Verb != "ok":
		return fmt.Errorf("an answer begins with ok or err, not %s", Brief(got.Verb))
	}
	var answer fieldSet
	if def := v.commands[command]; def != nil {
		answer = def.answer
	}
	for _, key := range answer.must {
		if got.Fields[key] == "" {
			return fmt.Errorf("the answer to %s must have %s=", command, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got.Fields)) {
		if !slices.Contains(answer.must, key) && !slices.Contains(answer.may, key) {
			return fmt.Errorf("the answer to %s cannot have %s=", command, Brief(key))
		}
	}
	flags := got.List("flags")
	if text, ok := got.Fields["flags"]; ok && text == "" {
		return errors.New("flags= is empty")
	}
	for _, f := range flags {
		if command == "recv" && !flagForm.MatchString(f) {
			return fmt.Errorf("unknown flag %s", Brief(f))
		}
	}
	for _, w := range got.Words {
		if w != "eof" || command != "recv" {
			return fmt.Errorf("the answer to %s cannot have the word %s", command, Brief(w))
		}
	}
	if w := repeated(slices.Concat(flags, got.Words)); w != "" {
		return fmt.Errorf("duplicate %s", Brief(w))
	}
	return nil
}

// validateError returns an error unless an err has one word: lib, or an errno as a name or an integer.
func validateError(l Line) error {
	if len(l.Words) != 1 || len(l.Fields) > 0 {
		return errors.New("err must be followed by one word, an errno or lib")
	}
	if w := l.Words[0]; w != "lib" && !slices.Contains(errnoNames, w) && !isInteger(w, 1, 4095) {
		return fmt.Errorf("unknown errno %s", Brief(w))
	}
	return nil
}
