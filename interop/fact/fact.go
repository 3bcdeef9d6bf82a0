// Package fact contains what happened in a case, as the runner saw it. A fact says nothing about what should have
// happened; package judge decides that. The package is portable and does no input or output.
package fact

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
)

// Sent says that a process was sent a command.
type Sent struct {
	Side scenario.Role
	Text string
}

// An Answer is what a process answered.
type Answer struct {
	Side   scenario.Role
	Said   string
	Owners [2]Owner // of the processes A and B, if a process of the runner answers
}

// Missing says that a process gave no answer.
type Missing struct {
	Side   scenario.Role
	Kind   Kind
	Why    string        // the error
	Waited time.Duration // for Silent: how long the runner waited for an answer
	Signal string        // for Silent and Gone: how the runner's own signal has stopped or ended the process, or ""
}

// A Kind is why there is no answer.
type Kind byte

const (
	Silent Kind = iota // the process has not answered in time
	Gone               // it has ended or was ended
	Broken             // what it printed is not a line of the contract
	Unsent             // the command was too long to be sent
)

// An Observation is what has changed since the runner last looked at a process and the files.
type Observation struct {
	Side        scenario.Role
	Time        time.Duration // since the case began
	Descriptors []Descriptor
	States      []State
	Unseen      string // why the runner may not look at the descriptors of the process, or ""
	Exited      bool   // the process has ended, and no longer has descriptors
}

// Acted is what the runner found when it carried out a line of its own or looked for files that are still open.
type Acted struct {
	Saw        string      // by the line, or ""
	Descriptor *Descriptor // that the line names
	StillOpen  *StillOpen  // a file that is open without a descriptor

	Verdict scenario.Verdict // NotRun or Unsupported, if the runner could not do it, or ""
	Why     string           // the reason
}

// An Owner identifies a process and the user that it runs as.
type Owner struct {
	PID, UID, GID int
	Err           string // why the user is not known, or ""
}

// A Descriptor is what the kernel showed about a descriptor of one of the two processes.
type Descriptor struct {
	Side    scenario.Role // of the process
	FD      int
	Given   bool    // the process was started with it
	Closed  bool    // it is no longer open
	Changed bool    // it refers to another file than when the process was started with it or named it first
	Files   []Match // the files of the case whose open file description it may be, or was before it was closed
	Else    string  // what it is for a reader, if it is none of them
	Err     string  // why a descriptor that the answer names is not known: it is not open, for example
	InfoErr string  // why Info is nil, or "" if the runner has not looked
	Info    *Info
}

// A Match is a file of the case that a descriptor refers to.
type Match struct {
	File
	Way  Way
	Sure bool // false if only the inodes were compared, and other files have the same inode
}

// A File is a file of the case. It is the zero File if a descriptor refers to none of them.
type File struct {
	Name   string
	Owner  scenario.Role // of the process that was started with it, or that made it
	Socket bool          // it is the socket of that process
	Made   bool          // a process of the runner has made it
}

// SenderPidfd is the file that the kernel adds to a message for SO_PASSPIDFD.
var SenderPidfd = File{Name: "the sender's pidfd"}

// Offset is a property of a file in a State.
const Offset = "offset"

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
	What     string // "offset" or "status flags"
	Was, Now string
}

// StillOpen is a file that was still open when no descriptor of the two processes referred to it.
type StillOpen struct {
	File  File
	Until scenario.Role // of the process with whose end the file was closed, or 0
	Where string        // as returned by witness.Holder before that end, or "somewhere"
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
	if m, ok := d.match(); ok && what == "" {
		what = "the open file description of " + m.File.String()
		switch {
		case m.Way != "" && !m.Sure:
			what += fmt.Sprintf(" (%s, which other files share)", m.Way)
		case m.Way != "":
			what += fmt.Sprintf(" (%s)", m.Way)
		}
	}
	if d.Info != nil {
		if d.Info.CloseOnExec {
			what += ", close-on-exec"
		} else {
			what += ", not close-on-exec"
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
	m, ok := d.match()
	switch {
	case d.Else != "":
		return fmt.Sprintf("%d (%s)", d.FD, d.Else)
	case !ok:
		return fmt.Sprint(d.FD)
	}
	return fmt.Sprintf("%d (%s)", d.FD, m.File)
}

// match returns the file of which it is surest.
func (d Descriptor) match() (m Match, ok bool) {
	for _, m = range d.Files {
		if m.Sure {
			return m, true
		}
	}
	return m, len(d.Files) > 0
}

// Mark precedes a finding.
const Mark = "✗ "

// Finding returns the lines of a finding.
func Finding(text string) []string {
	return strings.Split(Mark+strings.ReplaceAll(text, "\n", "\n  "), "\n")
}

// Line returns what a reader sees of a missing answer, or "".
func (f Missing) Line() string {
	switch f.Kind {
	case Silent:
		return fmt.Sprintf("%s< (no answer after %v)", f.Side, f.Waited)
	case Gone:
		return fmt.Sprintf("%s< (no answer: the process ended)", f.Side)
	}
	return ""
}

// maxListed is how many descriptors are described one by one.
const maxListed = 8

// Lines returns a line for each change, and one line for all descriptors that were given or closed.
func (f Observation) Lines() (lines []string) {
	for _, list := range []struct {
		verb string
		is   func(Descriptor) bool
	}{
		{"was started with", func(d Descriptor) bool { return d.Given }},
		{"no longer has", func(d Descriptor) bool { return d.Closed }},
	} {
		var names []string
		for _, d := range f.Descriptors {
			if list.is(d) {
				names = append(names, d.brief())
			}
		}
		if len(names) > 0 {
			lines = append(lines, fmt.Sprintf("%s: %s %s", f.Side, list.verb, strings.Join(shorten(names), ", ")))
		}
	}
	var others []string
	for _, d := range f.Descriptors {
		if !d.Given && !d.Closed && (d.Else != "" || len(d.Files) > 0) {
			others = append(others, d.String())
		}
	}
	lines = append(lines, shorten(others)...)
	for _, s := range f.States {
		lines = append(lines, fmt.Sprintf("the %s of %s changed from %s to %s", s.What, s.File, s.Was, s.Now))
	}
	return lines
}

// Lines returns a line for each thing that the runner found.
func (f Acted) Lines() (lines []string) {
	if d := f.Descriptor; d != nil && (d.Else != "" || len(d.Files) > 0) {
		lines = append(lines, d.String())
	}
	if h := f.StillOpen; h != nil {
		line := fmt.Sprintf("no descriptor of A or B refers to %s, but it is still open %s", h.File, h.Where)
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
