package expected

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// A Shown is what a case shows about a check of a peer.
type Shown struct {
	Seats  []Seat // of the peer: one, or two if it is its own partner
	Check  string
	Case   string // its name
	Failed bool   // or passed
	Flaky  bool   // the case did not end in the same way when it was run again
	Text   string // of the finding, if it failed
}

// An Update contains the new text of a list, and what has changed.
type Update struct {
	Text    []byte
	Removed []Line  // their failures did not occur in all cases, or they apply to no case
	Noted   []Line  // the same, but a missing failure is only a note
	Added   []Added // sorted
}

// An Added is a new line, and a case in which the failure occurred, or "" if the line replaces one of Removed.
type Added struct {
	Line
	Example string
}

// Unfinished reports whether a new line has an unfinished reason.
func (u Update) Unfinished() bool {
	return slices.ContainsFunc(u.Added, func(a Added) bool { return a.unfinished() })
}

// Rewrite updates the text of a list after a run. The lines are those of the text; given are lines of other lists,
// which stay as they are. It removes a line if the failure did not occur in a case that it selects, unless a flaky
// line, of any list, selects the case too, or, if the run was not strict, the line is Noted. It adds lines for failures
// that no line covers, with the reason of a removed line or an unfinished one, and changes nothing else.
func Rewrite(text []byte, lines, given []Line, strict bool, shown []Shown) (u Update) {
	byKey := map[string][]Shown{}
	for _, s := range shown {
		key := Line{Check: s.Check, Peer: s.Seats[0].Peer}.Key()
		byKey[key] = append(byKey[key], s)
	}
	all := slices.Concat(lines, given)
	removed := map[int][]string{} // by number, because several lines can have the same one
	for _, l := range lines {
		missing := func(s Shown) bool {
			return !s.Failed && !s.Flaky && l.SelectsAny(s.Seats) && !MayPass(all, l.Key(), s.Seats)
		}
		switch {
		case !slices.ContainsFunc(byKey[l.Key()], missing):
		case l.Noted() && !strict:
			u.Noted = append(u.Noted, l)
		default:
			u.Removed = append(u.Removed, l)
			removed[l.Number] = nil
		}
	}
	stay, gone := map[string][]Line{}, map[string][]Line{} // by Key
	for i, l := range all {
		if _, is := removed[l.Number]; is && i < len(lines) {
			gone[l.Key()] = append(gone[l.Key()], l)
		} else {
			stay[l.Key()] = append(stay[l.Key()], l)
		}
	}
	for key, list := range byKey {
		u.Added = append(u.Added, newLines(list, stay[key], gone[key])...)
	}
	slices.SortFunc(u.Added, func(a, b Added) int { return cmp.Compare(a.Text(), b.Text()) })
	u.Text = rewritten(text, removed, u.Added)
	return u
}

// Prune removes the lines, and the alternatives in their patterns, for which Validate returns an error.
func Prune(text []byte, lines []Line, seats []Seat, peers []string) (u Update) {
	left, changed := map[int][]string{}, map[int]bool{} // by number
	for _, l := range lines {
		why, alts := l.unmatched(seats, peers)
		var kept []string
		if why != "" || len(alts) > 0 {
			u.Removed = append(u.Removed, l)
			changed[l.Number] = true
		}
		if len(alts) > 0 {
			l.Pattern = l.Pattern.without(alts)
			u.Added = append(u.Added, Added{Line: l})
		}
		if why == "" {
			kept = []string{l.Text()}
		}
		left[l.Number] = append(left[l.Number], kept...)
	}
	maps.DeleteFunc(left, func(number int, _ []string) bool { return !changed[number] })
	u.Text = rewritten(text, left, nil)
	return u
}

// newLines returns lines for the failures among what is shown about a CHECK@PEER that none of the lines covers.
func newLines(shown []Shown, lines, gone []Line) (added []Added) {
	covered := func(s Shown) bool {
		return slices.ContainsFunc(lines, func(l Line) bool { return l.SelectsAny(s.Seats) })
	}
	var failures, others []Shown
	for _, s := range shown {
		isNew := s.Failed && !covered(s)
		if isNew {
			failures = append(failures, s)
		}
		if !isNew || s.Flaky {
			others = append(others, s)
		}
	}
	// A case of the peer with itself does not show in which role it failed, so a line for another case may cover it.
	slices.SortFunc(failures, func(a, b Shown) int {
		return cmp.Or(cmp.Compare(len(a.Seats), len(b.Seats)), cmp.Compare(a.Case, b.Case))
	})
	for _, s := range failures {
		if covered(s) {
			continue
		}
		candidates := s.candidates(gone)
		l := candidates[len(candidates)-1]
		if i := slices.IndexFunc(candidates, func(l Line) bool {
			return !slices.ContainsFunc(others, func(s Shown) bool { return l.SelectsAny(s.Seats) })
		}); i >= 0 {
			l = candidates[i]
		} else {
			l.Reason = flakyMark + " " + unfinishedMark + " " + strings.TrimPrefix(l.Reason, unfinishedMark+" ")
		}
		lines = append(lines, l)
		added = append(added, Added{l, s.Case})
	}
	return added
}

const maxReason = 140 // a longer text in a reason is cut

// candidates returns lines about the failure: for all scenarios if they have one reason, the flags of the peer's
// receive, then for the scenario, and then for the type of socket too. They have the reason of a line that is gone, or
// propose one.
func (s Shown) candidates(gone []Line) (list []Line) {
	text := display.Line(strings.Join(strings.Fields(s.Text), " "))
	l := Line{Check: s.Check, Peer: s.Seats[0].Peer, Reason: unfinishedMark + " " + display.Shorten(text, maxReason)}
	if i := slices.IndexFunc(gone, func(l Line) bool { return l.SelectsAny(s.Seats) }); i >= 0 {
		l.Versions, l.Reason = gone[i].Versions, gone[i].Reason
	}
	add := func(pattern string) {
		l.Pattern, _ = ParsePattern(pattern) // the names of scenarios are patterns
		list = append(list, l)
	}
	if s.Check == Cloexec {
		add("**")
	}
	if len(s.Seats) == 1 {
		l.Role = s.Seats[0].Role
	}
	start := s.Seats[0].Start
	add(start[0] + "/" + start[1])
	add(strings.Join(start, "/"))
	return list
}

// rewritten returns the text with these lines, by number, replaced by others, and with the new ones at its end.
func rewritten(text []byte, replaced map[int][]string, added []Added) []byte {
	old, marked := strings.CutPrefix(string(text), byteOrderMark)
	end, number := "\n", 0
	var b strings.Builder
	if marked {
		b.WriteString(byteOrderMark)
	}
	for l := range strings.Lines(old) {
		if number++; number == 1 && strings.HasSuffix(l, "\r\n") {
			end = "\r\n"
		}
		if len(added) > 0 && !strings.HasSuffix(l, "\n") {
			l = strings.TrimSuffix(l, "\r") + end
		}
		by, is := replaced[number]
		if !is {
			b.WriteString(l)
		}
		for _, text := range by {
			b.WriteString(text + end)
		}
	}
	for _, a := range added {
		b.WriteString(a.Text() + end)
	}
	return []byte(b.String())
}
