package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/kernel"
)

// Match compares an answer with the expected answer. If they match, it returns the names that
// the scenario gives the descriptors in the answer. Otherwise it returns the reason why they
// do not match.
func (a Alternative) Match(got contract.Line) (names []string, why string) {
	if got.Verb != a.Line.Verb {
		return nil, fmt.Sprintf("not %s", a.Line.Verb)
	}
	if a.Line.Verb == "err" {
		return nil, a.matchError(got)
	}
	for _, key := range kernel.Vocabulary.FDFields() {
		more, why := matchFDs(a.Line.List(key), got.List(key))
		if why != "" {
			return nil, why
		}
		names = append(names, more...)
	}
	for _, key := range slices.Sorted(maps.Keys(a.Line.Fields)) {
		want := a.Line.Fields[key]
		have, ok := got.Fields[key]
		switch {
		case !ok && key != "flags":
			why = key + " is missing"
		case slices.Contains(kernel.Vocabulary.FDFields(), key), want == "*" && !spoiled(key, have):
		case key == "flags":
			why = matchFlags(want, have, ok)
		case !kernel.SameValue(key, have, want):
			why = fmt.Sprintf("%s is %s", key, contract.Brief(have))
		}
		if why != "" {
			return nil, why
		}
	}
	switch eof := a.Line.Has("eof"); {
	case got.Has("eof") && !eof:
		return nil, "it reports end of file for a message"
	case !got.Has("eof") && eof:
		return nil, "it does not report end of file"
	}
	return names, ""
}

// spoiled reports whether a value is wrong regardless of what was sent. "*" does not match it.
func spoiled(key, value string) bool {
	return key == "n" && strings.HasPrefix(value, "-") || key == "payload" && strings.Contains(value, "!")
}

// matchError compares an error with the expected error. "err NAME" matches only the named
// error, and "err lib" matches any error of the library's own. "err" matches any error except
// EAGAIN and EINTR, after which a caller should try again.
func (a Alternative) matchError(got contract.Line) string {
	have := ""
	if len(got.Words) > 0 {
		have = contract.ErrnoName(got.Words[0])
	}
	switch any := len(a.Line.Words) == 0; {
	case any && (have == "EAGAIN" || have == "EINTR"):
		return "the error asks the caller to try again"
	case !any && have != contract.ErrnoName(a.Line.Words[0]):
		return "the error is a different one"
	}
	return ""
}

// matchFDs compares a list of names, which can end in fewer, closed or closed:N, with a
// list of descriptors.
func matchFDs(want, got []string) (names []string, why string) {
	want, _ = expandNames(want) // the parser has rejected invalid names
	want, few, wantClosed := cutClosed(want)
	got, _, gotClosed := cutClosed(got)
	if few {
		want = want[:max(1, min(len(want), len(got)))]
	}
	switch {
	case len(want) != len(got):
		return nil, fmt.Sprintf("%s, and not %d", display.Plural(len(got), "descriptor"), len(want))
	case wantClosed == "" && gotClosed != "":
		return nil, "it reports closed descriptors"
	case wantClosed != "" && gotClosed == "":
		return nil, "it does not report closed descriptors"
	case wantClosed != "closed" && gotClosed != "closed" && wantClosed != gotClosed:
		return nil, "it closed a different number of descriptors"
	}
	return want, ""
}

// matchFlags checks that have contains each flag in want. If want is "-", it checks that no
// flag is reported.
func matchFlags(want, have string, reported bool) string {
	switch {
	case want == "-" && reported && have != "-":
		return "there are flags"
	case want != "-" && !reported && strings.Contains(want, "ctrunc"):
		return "a descriptor was lost, and the library did not report it"
	case want != "-" && !reported:
		return "the library reports no flags"
	}
	for f := range strings.SplitSeq(want, ",") {
		if f != "-" && !slices.Contains(strings.Split(have, ","), f) {
			return "no flag " + f
		}
	}
	return ""
}
