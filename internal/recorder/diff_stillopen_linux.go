package recorder

import (
	"fmt"
	"slices"
)

// An openAt is where a received descriptor was still open, without the values that differ from run to run.
type openAt struct {
	field, state string
	absent       string // the state in a record that does not have it
}

// openByCall returns what is still open, by Call.seq.
func (o Comparison) openByCall(streams [][]*Call, open []*StillOpen) map[int][]openAt {
	numbers := map[*Process]int{}
	for i, stream := range streams {
		if len(stream) > 0 && !o.ByConnection {
			numbers[stream[0].Process] = o.number(i)
		}
	}
	byCall := map[int][]openAt{}
	for _, s := range open {
		event, absent := "the exit", "no longer open"
		if s.Exec {
			event, absent = "an exec", "not passed on"
		}
		field := fmt.Sprintf("received descriptor %d at %s of %s", s.Receipt.Index, event, processName(s, numbers))
		byCall[s.Receipt.seq] = append(byCall[s.Receipt.seq], openAt{field, s.state(), absent})
	}
	return byCall
}

// processName returns the name of a process that is the same in every run. The name of a process that
// made no calls refers to the next ancestor that made some.
func processName(s *StillOpen, numbers map[*Process]int) string {
	if len(numbers) == 0 && s.Process == s.Receipt.Process {
		return "its process"
	}
	prefix := ""
	for p := s.Process; p != nil; p = p.parent {
		if i, ok := numbers[p]; ok {
			return fmt.Sprintf("%sprocess %d", prefix, i)
		}
		prefix = "a descendant of "
	}
	return "another process"
}

// AllStillOpen returns the differences in what is still open in two records, in the order in which A received the
// descriptors. It leaves out those of processes, or connections, that do not make the same calls in both records.
func (o Comparison) AllStillOpen(callsA, callsB []Call, openA, openB []*StillOpen) (found []*Difference) {
	streamsA, streamsB := o.streams(callsA, 0), o.streams(callsB, 1)
	byCallA, byCallB := o.openByCall(streamsA, openA), o.openByCall(streamsB, openB)
	for i := range min(len(streamsA), len(streamsB)) {
		a, b := streamsA[i], streamsB[i]
		if !slices.EqualFunc(a, b, func(x, y *Call) bool { field, _, _ := mismatch(x, y); return field == "" }) {
			continue
		}
		for j := range a {
			differ := func(open openAt, inA, inB string) {
				found = append(found, &Difference{
					Process: o.number(i), Call: j + 1, A: a[j], B: b[j],
					Threads: severalThreads(a) || severalThreads(b), Several: len(streamsA) > 1 && !o.ByConnection,
					Place: Place{When: AtExit, Message: -1, Index: -1, Field: open.field},
					TextA: inA, TextB: inB, byConnection: o.ByConnection, time: a[j].end,
				})
			}
			listA, listB := byCallA[a[j].seq], byCallB[b[j].seq]
			// A child that ends after each connection can leave open what a program that serves them all must close.
			onlyB := o.ByConnection && a[j].Program != b[j].Program
			if onlyB {
				listA = nil
			}
			for _, open := range without(listA, listB) {
				differ(open, open.state, open.absent)
			}
			for _, open := range without(listB, listA) {
				if onlyB {
					open.absent = "not compared"
				}
				differ(open, open.absent, open.state)
			}
		}
	}
	SortDifferences(found)
	return found
}

// without returns the elements of list, except for one for each in other.
func without(list, other []openAt) (rest []openAt) {
	other = slices.Clone(other)
	for _, o := range list {
		if i := slices.Index(other, o); i >= 0 {
			other = slices.Delete(other, i, i+1)
		} else {
			rest = append(rest, o)
		}
	}
	return rest
}
