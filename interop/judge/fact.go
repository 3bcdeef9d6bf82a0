// Package judge describes what happened in a case, line by line. It is portable and does no input or output.
package judge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// A Fact is what happened at one line of a transcript. It contains only what the line changed.
type Fact struct {
	Side  scenario.Role
	Text  string // the line, as the transcript shows it
	Ended string // instead of Text: why there was no answer

	Descriptors []Descriptor
	States      []State
	Held        []Held
}

// A Descriptor is what the kernel showed about a descriptor of one of the two processes.
type Descriptor struct {
	Side   scenario.Role // of the process
	FD     int
	Given  bool // the process was started with it
	Closed bool // it is no longer open
	File   File // whose open file description it is, or was before it was closed
	Way    Way  // how the runner knows
	Else   string
	Info   *Info // nil if the runner has not looked
}

// A File is a file of the case. It is the zero File if a descriptor refers to none of them.
type File struct {
	Name   string
	Owner  scenario.Role // of the process that was started with it
	Socket bool          // it is the socket of that process
}

// A Way is how the runner knows that a descriptor refers to an open file description.
type Way string

// Info contains the flags and the offset of a descriptor.
type Info struct {
	CloseOnExec bool
	Offset      int64
	Status      string // the names of its status flags, or ""
}

// A State is a property of an open file description that has changed.
type State struct {
	File     File
	What     string // such as "offset"
	Was, Now string
}

// Held is a file that was still open when no descriptor of the two processes referred to it.
type Held struct {
	File  File
	Until scenario.Role // of the process with whose end the file was closed, or 0
}

func (f File) String() string {
	switch {
	case f.Name == "":
		return "a file of no name"
	case f.Socket:
		return fmt.Sprintf("%s's socket %s", f.Owner, f.Name)
	case f.Owner == 0:
		return f.Name
	}
	return fmt.Sprintf("%s's file %s", f.Owner, f.Name)
}

// String returns what the descriptor is, as a sentence without its end.
func (d Descriptor) String() string {
	what := d.Else
	if d.File != (File{}) && what == "" {
		what = "the open file description of " + d.File.String()
	}
	if d.Way != "" {
		what += fmt.Sprintf(" (%s)", d.Way)
	}
	if d.Info != nil {
		what += ", inheritable"
		if d.Info.CloseOnExec {
			what = strings.TrimSuffix(what, "inheritable") + "close-on-exec"
		}
		if d.Info.Offset != 0 {
			what += fmt.Sprintf(", offset %d", d.Info.Offset)
		}
		if d.Info.Status != "" {
			what += ", " + d.Info.Status
		}
	}
	return fmt.Sprintf("%s: descriptor %d is %s", d.Side, d.FD, what)
}

// brief returns the descriptor and the name of its file, for a list.
func (d Descriptor) brief() string {
	switch {
	case d.Else != "":
		return fmt.Sprintf("%d (%s)", d.FD, d.Else)
	case d.File == File{}:
		return fmt.Sprint(d.FD)
	}
	return fmt.Sprintf("%d (%s)", d.FD, d.File)
}

// Mark precedes a finding in the lines of Text.
const Mark = "✗ "

// indent precedes each line of Text that is not a line of the transcript.
const indent = "    "

// Text returns the facts as lines for a reader. Each line of the transcript is followed by what changed there, and
// then by the findings, which found contains by the index of the fact.
func Text(facts []Fact, found map[int][]string) (lines []string) {
	for i, f := range facts {
		if f.Ended != "" {
			lines = append(lines, fmt.Sprintf("%s< (%s)", f.Side, f.Ended))
		} else {
			lines = append(lines, f.Text)
		}
		for _, l := range f.changes() {
			lines = append(lines, indent+l)
		}
		for _, text := range found[i] {
			for j, l := range strings.Split(text, "\n") {
				lead := Mark
				if j > 0 {
					lead = strings.Repeat(" ", len([]rune(Mark)))
				}
				lines = append(lines, indent+lead+l)
			}
		}
	}
	return lines
}

// maxListed is how many descriptors of one line Text describes one by one.
const maxListed = 8

// changes returns a line for each change, and one line for all descriptors that were given or closed.
func (f Fact) changes() (lines []string) {
	for _, list := range []struct {
		verb string
		is   func(Descriptor) bool
	}{
		{"was started with", func(d Descriptor) bool { return d.Given }},
		{"no longer has", func(d Descriptor) bool { return d.Closed }},
	} {
		for _, side := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
			var names []string
			for _, d := range f.Descriptors {
				if d.Side == side && list.is(d) {
					names = append(names, d.brief())
				}
			}
			if len(names) > 0 {
				lines = append(lines, fmt.Sprintf("%s: %s %s", side, list.verb, strings.Join(shorten(names), ", ")))
			}
		}
	}
	var others []string
	for _, d := range f.Descriptors {
		if !d.Given && !d.Closed {
			others = append(others, d.String())
		}
	}
	lines = append(lines, shorten(others)...)
	for _, s := range f.States {
		lines = append(lines, fmt.Sprintf("the %s of %s changed from %s to %s", s.What, s.File, s.Was, s.Now))
	}
	for _, h := range f.Held {
		line := fmt.Sprintf("no descriptor of A or B refers to %s, but it is still open", h.File)
		if h.Until != 0 {
			line += fmt.Sprintf(": it was closed when the runner ended %s", h.Until)
		}
		lines = append(lines, line)
	}
	return lines
}

// shorten replaces the last lines with their number if there are too many.
func shorten(lines []string) []string {
	if more := len(lines) - maxListed; more > 0 {
		return append(slices.Clone(lines[:maxListed]), fmt.Sprintf("… and %d more", more))
	}
	return lines
}
