package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
)

// Match compares an answer with the expected one. It returns the names for the answer's
// descriptors, or why the answer is wrong.
func (w Want) Match(got contract.Line) (names []string, why string) {
	if got.Verb != w.Line.Verb {
		return nil, fmt.Sprintf("not %s", w.Line.Verb)
	}
	if w.Line.Verb == "err" {
		return nil, w.matchError(got)
	}
	for _, key := range kernel.Vocabulary.FDFields() {
		more, why := matchFDs(w.Line.List(key), got.List(key))
		if why != "" {
			return nil, why
		}
		names = append(names, more...)
	}
	for key, want := range w.Line.Fields {
		have, ok := got.Fields[key]
		switch {
		case !ok && key != "flags":
			why = "it does not tell " + key
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
	switch eof := w.Line.Has("eof"); {
	case got.Has("eof") && !eof:
		return nil, "it took the message for the end"
	case !got.Has("eof") && eof:
		return nil, "it does not tell the end"
	}
	return names, ""
}

// spoiled reports whether a value is wrong whatever was sent: "*" does not stand for it.
func spoiled(key, value string) bool {
	return key == "n" && strings.HasPrefix(value, "-") || key == "payload" && strings.Contains(value, "!")
}

// matchError compares errors: err NAME, err lib for any of a library's own, err alone for
// any that does not tell the caller to try again.
func (w Want) matchError(got contract.Line) string {
	have := ""
	if len(got.Words) > 0 {
		have = contract.ErrnoName(got.Words[0])
	}
	switch any := len(w.Line.Words) == 0; {
	case any && (have == "EAGAIN" || have == "EINTR"):
		return "the error tells the caller to try again"
	case !any && have != contract.ErrnoName(w.Line.Words[0]):
		return "the error is another"
	}
	return ""
}

// matchFDs compares a list of names, and fewer, closed or closed:N at its end, with a
// list of numbers.
func matchFDs(want, got []string) (names []string, why string) {
	want, _ = expandNames(want) // the scenario's: they were read before
	want, few, wantClosed := cutClosed(want)
	got, _, gotClosed := cutClosed(got)
	if few {
		want = want[:max(1, min(len(want), len(got)))]
	}
	switch {
	case len(want) != len(got):
		return nil, fmt.Sprintf("%d descriptors, and not %d", len(got), len(want))
	case wantClosed == "" && gotClosed != "":
		return nil, "it closed some"
	case wantClosed != "" && gotClosed == "":
		return nil, "it closed none"
	case wantClosed != "closed" && gotClosed != "closed" && wantClosed != gotClosed:
		return nil, "it closed another number of them"
	}
	return want, ""
}

// matchFlags wants each flag that is named; "-" wants that none is reported.
func matchFlags(want, have string, reported bool) string {
	switch {
	case want == "-" && reported && have != "-":
		return "there are flags"
	case want != "-" && !reported:
		return "it reports no flags"
	}
	for f := range strings.SplitSeq(want, ",") {
		if f != "-" && !slices.Contains(strings.Split(have, ","), f) {
			return "no flag " + f
		}
	}
	return ""
}
