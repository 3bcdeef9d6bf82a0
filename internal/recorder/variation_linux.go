package recorder

import (
	"iter"
	"slices"
)

// A Variation contains the payload bytes that are not the same in each run of a program.
type Variation map[payloadBuffer][]bool

type payloadBuffer struct {
	stream, call           int
	name                   string // of the call
	when                   When
	message, index, length int
}

// Add adds the bytes that differ between two runs. It returns all other differences, and whether a byte is new.
func (v Variation) Add(found []*Difference) (others []*Difference, more bool) {
	for _, d := range found {
		if d.Memory != Payload || d.LenA != d.LenB || len(d.BytesA) == 0 || len(d.BytesA) != len(d.BytesB) {
			others = append(others, d)
			continue
		}
		b := payloadBuffer{d.Process, d.Call, d.call().Name(), d.When, d.Message, d.Index, d.LenA}
		if v[b] == nil {
			v[b] = make([]bool, len(d.BytesA))
		}
		for i := d.From; i < d.To; i++ {
			if d.BytesA[i] != d.BytesB[i] && !v[b][i] {
				v[b][i], more = true, true
			}
		}
	}
	return others, more
}

// AllowVariation allows the bytes of v. a has the calls of one of the runs. If the same bytes vary in consecutive
// calls, not counting calls without such a buffer, they become one Allowance.
func (o *Comparison) AllowVariation(a []Call, v Variation) (list []*Allowance) {
	for i, stream := range o.streams(a, o.Processes[0]) {
		before := map[payloadBuffer][]*Allowance{} // of the last call with such a buffer
		for j, c := range stream {
			for _, b := range o.payloads(c) {
				b.stream = o.number(i)
				similar := b
				b.call = j + 1
				last := before[similar]
				before[similar] = nil
				for from, to := range ranges(v[b]) {
					k := slices.IndexFunc(last, func(a *Allowance) bool { return a.place.From == from && a.place.To == to })
					if k < 0 {
						k, last = len(last), append(last, b.allow(o.ByConnection, from, to))
						list = append(list, last[k])
					}
					last[k].last = b.call
					before[similar] = append(before[similar], last[k])
				}
			}
		}
	}
	o.anyBytes = append(o.anyBytes, list...)
	return list
}

// payloads returns the payload buffers of a call, before it and on its return.
func (o Comparison) payloads(c *Call) (list []payloadBuffer) {
	for i, s := range []*Snapshot{&c.Entry, &c.Exit} {
		for _, m := range s.memory() {
			if m.Kind == Payload {
				p := c.place(m)
				list = append(list, payloadBuffer{0, 0, c.Name(), []When{AtEntry, AtReturn}[i], p.Message, p.Index, o.length(m, Payload)})
			}
		}
	}
	return list
}

func (b payloadBuffer) allow(byConnection bool, from, to int) *Allowance {
	place := Place{
		Message: b.message, Memory: Payload, Index: b.index, Field: Payload.String(),
		From: from, To: to, LenA: b.length, LenB: b.length,
	}
	return &Allowance{byConnection, b.stream, b.call, b.call, b.name, place, b.when == AtReturn, true, true, "", ""}
}

// ranges yields the beginning and the end of each sequence of elements that are set.
func ranges(set []bool) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(set); from++ {
			to := from
			for to < len(set) && set[to] {
				to++
			}
			if to > from && !yield(from, to) {
				return
			}
			from = max(from, to)
		}
	}
}
