package scenario

import (
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// An oldFormError is the error for a line that selects peers in its first word, as --run does: GROUP/ID/TYPE/SENDER/RECEIVER.
type oldFormError struct{ lines []string } // to write instead

func (e *oldFormError) Error() string {
	return "the first word names scenarios and types of socket, and no peers. Write:\n" + strings.Join(e.lines, "\n")
}

// rejectOldForm returns an oldFormError if the first word of a line selects peers. The list contains the expectations of the
// line, and keys is its second word.
func rejectOldForm(keys string, list []Expectation) error {
	scenarios, sender, receiver := cutPeers(list[0])
	if sender == "" && receiver == "" {
		return nil
	}
	var lines, seats []string
	for _, e := range list {
		e.Pattern.text = scenarios
		e.Role, e.Partner = e.between(sender, receiver)
		lines, seats = append(lines, e.line()), append(seats, e.seat())
	}
	if len(slices.Compact(slices.Clone(seats))) == 1 && list[0].seat() == "" {
		lines = []string{scenarios + " " + keys + seats[0] + " " + list[0].Reason}
	}
	return &oldFormError{lines}
}

// cutPeers cuts the parts for the sender and the receiver from the pattern. Both are empty if there are none.
func cutPeers(e Expectation) (scenarios, sender, receiver string) {
	parts := splitParts(e.Pattern.text)
	isType := func(part string) bool { return hasAlternative(part, contract.SocketTypes...) }
	join := func(parts []string) string {
		if last := len(parts) - 1; last > 0 && parts[last] == "**" {
			parts = parts[:last]
		}
		return strings.Join(parts, "/")
	}
	last, after := len(parts)-1, 0 // the number of parts after the last "**"
	for after <= last && parts[last-after] != "**" {
		after++
	}
	if after <= last { // the pattern ends with the receiver, or with the sender and the receiver
		switch {
		case after > 1 && (!isType(parts[last]) || namesPeer(parts[last-1], e.Peer) || parts[last-1] == RunnerName):
			return join(parts[:last-1]), parts[last-1], parts[last]
		case after > 0 && !isType(parts[last]):
			return join(parts[:last]), "", parts[last]
		}
		return "", "", ""
	}
	for n := range last {
		before := parts[:n+1]
		if alts, err := expandBraces(strings.Join(before, "/")); err == nil && strings.Count(alts[0], "/") == 2 { // GROUP/ID/TYPE
			return join(before), parts[n+1], append(parts, "")[n+2]
		}
	}
	return "", "", ""
}

// between returns the role and the partner that the last two parts of a line in the old form select.
func (e Expectation) between(sender, receiver string) (Role, string) {
	partner := func(part string) string {
		if isAnyone(part) {
			return ""
		}
		return part
	}
	sends, receives := namesPeer(sender, e.Peer), namesPeer(receiver, e.Peer)
	if receives && !sends || !sends && isAnyone(receiver) {
		return RoleB, partner(sender)
	}
	return RoleA, partner(receiver)
}

func isAnyone(part string) bool { return strings.Trim(part, "*") == "" }

// namesPeer reports whether an alternative of a part of a pattern is about this peer.
func namesPeer(part, peer string) bool {
	return !isAnyone(part) && !strings.HasPrefix(part, "!") && hasAlternative(part, peer)
}

// hasAlternative reports whether an alternative of a part of a pattern matches one of the names.
func hasAlternative(part string, names ...string) bool {
	alts, err := expandBraces(part)
	return err == nil && slices.ContainsFunc(alts, func(alt string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return matchPart(alt, name) })
	})
}

// splitParts splits a pattern at the slashes outside braces.
func splitParts(pattern string) []string {
	inside := false
	return strings.FieldsFunc(pattern, func(r rune) bool {
		inside = r == '{' || inside && r != '}'
		return r == '/' && !inside
	})
}
