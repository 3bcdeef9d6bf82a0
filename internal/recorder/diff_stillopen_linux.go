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

// openByCall returns what was still open, by Call.seq.
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

// stillOpen compares which descriptors that the current call received were still open.
func (c *comparison) stillOpen() {
	c.current.When = AtExit
	a, b := c.openA[c.callA.seq], c.openB[c.callB.seq]
	// A child that ends after each connection can leave open what a program that serves them all must close.
	onlyB := c.ByConnection && c.callA.Program != c.callB.Program
	if onlyB {
		a = nil
	}
	for _, open := range without(a, b) {
		c.differ(inCall(open.field), open.state, open.absent)
	}
	for _, open := range without(b, a) {
		if onlyB {
			open.absent = "not compared"
		}
		c.differ(inCall(open.field), open.absent, open.state)
	}
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
