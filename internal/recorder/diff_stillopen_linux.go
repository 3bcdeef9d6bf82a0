package recorder

import (
	"fmt"
	"slices"
)

// A place is the position of a received descriptor in a record. Its fields count from 0.
type place struct {
	process, call, descriptor int
}

// recordedPlaces finds places in a record.
type recordedPlaces struct {
	streams [][]*Call
	calls   map[int]place    // by Call.seq
	process map[*Process]int // the numbers of the processes that made calls
}

func (o Comparison) recordedPlaces(calls []Call, in int) *recordedPlaces {
	r := &recordedPlaces{o.streams(calls, in), map[int]place{}, map[*Process]int{}}
	for i, stream := range r.streams {
		if !isEmpty(stream) && !o.ByConnection {
			r.process[stream[0].Process] = o.number(i)
		}
		for j, c := range stream {
			r.calls[c.seq] = place{process: i, call: j}
		}
	}
	return r
}

// A comparedOpen is a StillOpen without the values that differ from run to run.
type comparedOpen struct {
	place
	exec         bool
	event, state string
}

// absent describes the descriptor in a record that does not have it.
func (o *comparedOpen) absent() string {
	if o.exec {
		return "not passed on"
	}
	return "no longer open"
}

// compared returns them in a form that can be compared. It leaves out descriptors of calls that are
// not in the record, and of processes that are not paired.
func (r *recordedPlaces) compared(open []*StillOpen, paired []bool) (list []comparedOpen) {
	for _, o := range open {
		p, ok := r.calls[o.Receipt.seq]
		if !ok || !paired[p.process] {
			continue
		}
		p.descriptor = o.Receipt.Index
		event := "the exit"
		if o.Exec {
			event = "an exec"
		}
		list = append(list, comparedOpen{p, o.Exec, event + " of " + r.processName(o), o.state()})
	}
	return list
}

// processName returns the name of a process that is the same in every run. The name of a process that
// made no calls refers to the next ancestor that made some.
func (r *recordedPlaces) processName(o *StillOpen) string {
	prefix := ""
	if len(r.process) == 0 && o.Process == o.Receipt.Process {
		return "its process"
	}
	for p := o.Process; p != nil; p = p.parent {
		if i, ok := r.process[p]; ok {
			return fmt.Sprintf("%sprocess %d", prefix, i)
		}
		prefix = "a descendant of "
	}
	return "another process"
}

// AllStillOpen returns the differences in what is still open in two records, first what B does not have. It leaves out
// the descriptors of processes, or connections, that do not make the same calls in both records.
func (o Comparison) AllStillOpen(callsA, callsB []Call, openA, openB []*StillOpen) []*Difference {
	a, b := o.recordedPlaces(callsA, inA), o.recordedPlaces(callsB, inB)
	paired := make([]bool, max(len(a.streams), len(b.streams)))
	for i := range paired {
		paired[i] = slices.EqualFunc(at(a.streams, i), at(b.streams, i), func(x, y *Call) bool {
			field, _, _ := mismatch(x, y)
			return field == ""
		})
	}
	listA, listB := a.compared(openA, paired), b.compared(openB, paired)
	// A child that ends after each connection can leave open what a program that serves them all must close.
	onlyB := func(open comparedOpen) bool {
		at := open.place
		return o.ByConnection && a.streams[at.process][at.call].Program != b.streams[at.process][at.call].Program
	}
	listA = slices.DeleteFunc(listA, onlyB)
	var found []*Difference
	for _, open := range without(listA, listB) {
		found = append(found, open.difference(a, b, open.state, open.absent()))
	}
	for _, open := range without(listB, listA) {
		inA := open.absent()
		if onlyB(open) {
			inA = "not compared"
		}
		found = append(found, open.difference(a, b, inA, open.state))
	}
	for _, d := range found {
		d.Group, d.Process = o.group(), o.number(d.Process-1)
	}
	return found
}

// without returns the elements of list, except for one for each in other.
func without(list, other []comparedOpen) (rest []comparedOpen) {
	count := map[comparedOpen]int{}
	for _, o := range other {
		count[o]++
	}
	for _, o := range list {
		if count[o]--; count[o] < 0 {
			rest = append(rest, o)
		}
	}
	return rest
}

func (o comparedOpen) difference(a, b *recordedPlaces, textA, textB string) *Difference {
	streamA, streamB := a.streams[o.process], b.streams[o.process]
	return &Difference{
		Process: o.process + 1, Call: o.call + 1, A: streamA[o.call], B: streamB[o.call],
		Threads: severalThreads(streamA) || severalThreads(streamB),
		Several: len(a.streams) > 1,
		Place: Place{
			When: AtExit, Message: -1, Index: -1,
			Field: fmt.Sprintf("received descriptor %d at %s", o.descriptor, o.event),
		},
		TextA: textA, TextB: textB,
	}
}
