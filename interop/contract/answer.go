package contract

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// An answerForm is what an answer to a command looks like.
type answerForm struct {
	must, may []string // the fields of ok
	eof       bool     // whether it may tell the end
}

var AnswerForms = map[string]answerForm{
	"send":  {must: []string{"n"}},
	"recv":  {must: []string{"n", "payload", "fds"}, may: []string{"flags"}, eof: true},
	"close": {},
	"end":   {},
}

// ParseAnswer reads the answer to a command. If it returns an error, it still returns the
// descriptors that the answer names.
func ParseAnswer(verb, answer string) (got Line, numbers []int, err error) {
	if got, err = ParseLine(answer); err != nil {
		return got, nil, err
	}
	for _, key := range NumberFields {
		more, e := answerNumbers(got.List(key))
		numbers = append(numbers, more...)
		if err == nil {
			err = e
		}
	}
	form, _ := FormOf(verb)
	switch {
	case got.Verb == "err":
		err = CheckError(got)
	case got.Verb != "ok":
		err = fmt.Errorf("neither ok nor err")
	case err == nil:
		if err = form.Check(verb, got); err == nil && slices.Contains(form.must, "n") && !isPrinted(got.Fields["n"]) {
			err = fmt.Errorf("n=%s is no number", Brief(got.Fields["n"]))
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, Quote(answer))
	}
	return got, numbers, err
}

// Check tells whether an ok has the fields and words that the answer to the verb has.
func (form answerForm) Check(verb string, got Line) error {
	for _, key := range form.must {
		if got.Fields[key] == "" {
			return fmt.Errorf("no %s= in the answer to %s", key, verb)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got.Fields)) {
		if !slices.Contains(form.must, key) && !slices.Contains(form.may, key) {
			return fmt.Errorf("no answer to %s has %s=", verb, Brief(key))
		}
	}
	if flags, ok := got.Fields["flags"]; ok && flags == "" {
		return fmt.Errorf("flags= is empty")
	}
	flags := got.List("flags")
	for i, flag := range flags {
		if form.eof && !isFlag(flag) {
			return fmt.Errorf("%s is no flag", Brief(flag))
		}
		if slices.Contains(flags[:i], flag) {
			return fmt.Errorf("%s is there twice", Brief(flag))
		}
	}
	for i, w := range got.Words {
		if w != "eof" || !form.eof {
			return fmt.Errorf("no answer to %s has the word %s", verb, Brief(w))
		}
		if i > 0 {
			return fmt.Errorf("%s is there twice", w)
		}
	}
	return nil
}

// isFlag tells whether a peer may report this flag.
func isFlag(word string) bool {
	number, hex := strings.CutPrefix(word, "0x")
	_, err := strconv.ParseUint(number, 16, 32)
	return slices.Contains([]string{"ctrunc", "trunc", "eor", "oob"}, word) || hex && err == nil
}

// answerNumbers reads the numbers of a list; closed or closed:N may end it.
func answerNumbers(items []string) (numbers []int, err error) {
	for i, item := range items {
		if count, closed := strings.CutPrefix(item, "closed"); closed {
			count, counted := strings.CutPrefix(count, ":")
			if i != len(items)-1 || counted && (count == "0" || !isNumber(count, 0, math.MaxInt32)) || !counted && count != "" {
				err = fmt.Errorf("closed or closed:N ends the list")
			}
			continue
		}
		if !isPrinted(item) {
			err = fmt.Errorf("%s is no number", Brief(item))
			continue
		}
		n, _ := strconv.Atoi(item)
		numbers = append(numbers, n)
	}
	return numbers, err
}

// isPrinted tells whether a word is a number as it would be printed.
func isPrinted(word string) bool {
	n, err := strconv.Atoi(word)
	return err == nil && strconv.Itoa(n) == word
}

// NumberFields are the fields of an answer that hold new descriptors, in the order in which
// they are told.
var NumberFields = []string{"fds", "fd", "pidfd"}

// FormOf returns what the answer to a command looks like.
func FormOf(verb string) (answerForm, bool) {
	if form, ok := Forms()[verb]; ok {
		return answerForm{may: form.Gives}, true
	}
	form, ok := AnswerForms[verb]
	return form, ok
}
