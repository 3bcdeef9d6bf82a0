package expected

import (
	"fmt"
	"slices"
	"strings"
)

// A Seat is the part of a peer in a case.
type Seat struct {
	Start         Start
	Role          string // Sends or Receives
	Peer, Version string
	NoCloexec     bool // the peer receives no descriptor, so it cannot fail Cloexec
}

// Selects reports whether the line applies to the peer in this seat.
func (l *Line) Selects(s Seat) bool {
	return l.Peer == s.Peer && l.fits(s) && l.Pattern.matchParts(s.Start) && InVersions(l.Versions, s.Version)
}

// SelectsAny reports whether the line applies to one of the seats.
func (l *Line) SelectsAny(seats []Seat) bool { return slices.ContainsFunc(seats, l.Selects) }

// MayPass reports whether a check of a peer may pass in these seats although a line is about its failure, because a
// flaky line is too.
func MayPass(list []Line, key string, seats []Seat) bool {
	return slices.ContainsFunc(list, func(l Line) bool { return l.Flaky() && l.Key() == key && l.SelectsAny(seats) })
}

// fits reports whether the line is about the role, and its check can fail.
func (l *Line) fits(s Seat) bool {
	return (l.Role == "" || l.Role == s.Role) && (l.Check != Cloexec || !s.NoCloexec)
}

// Validate returns an error for each line, or alternative in its pattern, that can apply to no case. The seats are
// those of all scenarios. A seat without a peer is one of every peer except Kernel. If peers is not nil, it has the
// names of all peers that lines may be about.
func Validate(list []Line, seats []Seat, peers []string) (unmatched []error) {
	for i := range list {
		l := &list[i]
		why, alts := l.unmatched(seats, peers)
		if why != "" {
			unmatched = append(unmatched, fmt.Errorf("%s applies to no case: %s", l, why))
		}
		for _, alt := range alts {
			unmatched = append(unmatched, fmt.Errorf("%s: the alternative %q applies to no case: %s", l, alt.Text, l.whyNone(seats, alt.Only)))
		}
	}
	return unmatched
}

// unmatched returns why the line can apply to no case or, if it can, the alternatives in its pattern that cannot.
func (l *Line) unmatched(seats []Seat, peers []string) (why string, alts []Alternative) {
	none := func(p Pattern) bool {
		return !slices.ContainsFunc(seats, func(s Seat) bool { return l.fitsPattern(s, p) })
	}
	switch {
	case peers != nil && !slices.Contains(peers, l.Peer):
		return fmt.Sprintf("no peer is named %q%s", l.Peer, DidYouMean(l.Peer, peers)), nil
	case none(l.Pattern):
		return l.whyNone(seats, l.Pattern), nil
	}
	return "", slices.DeleteFunc(l.Pattern.Alternatives(), func(alt Alternative) bool { return !none(alt.Only) })
}

// fitsPattern is like Selects with another pattern, for any version.
func (l *Line) fitsPattern(s Seat, p Pattern) bool {
	return l.isOf(s) && l.fits(s) && p.matchParts(s.Start)
}

// isOf reports whether the seat is one of the line's peer.
func (l *Line) isOf(s Seat) bool { return s.Peer == l.Peer || s.Peer == "" && l.Peer != Kernel }

// whyNone says why the line, with this pattern, fits none of the seats.
func (l *Line) whyNone(seats []Seat, p Pattern) string {
	var starts []Start
	isPeers, hasRole := false, false
	for _, s := range seats {
		starts = append(starts, s.Start)
		if p.matchParts(s.Start) && l.isOf(s) {
			isPeers = true
			hasRole = hasRole || l.Role == "" || l.Role == s.Role
		}
	}
	switch {
	case !slices.ContainsFunc(starts, func(s Start) bool { return p.matchParts(s) }):
		return p.Mismatch(starts, nil)
	case !isPeers:
		return fmt.Sprintf("the pattern selects no case of %s", l.Peer)
	case !hasRole:
		return fmt.Sprintf("the pattern selects cases of %s, but none in which it %s", l.Peer, strings.TrimPrefix(l.Role, ":"))
	}
	return fmt.Sprintf("it selects cases of %s, but none in which it receives a descriptor", l.Peer)
}
