package interop

import (
	"fmt"
	"slices"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// This file writes down what happens at each line of a case, for the report. It uses what the runner looks up to judge
// the case. Only whatIs asks the kernel, about a descriptor that is already known to be wrong.

// facts collects the facts of a case, and by their index the findings at each.
type facts struct {
	list  []judge.Fact
	found map[int][]string
}

// line adds a line of the transcript. What the runner sees from now on belongs to it.
func (f *facts) line(text string) {
	f.list = append(f.list, judge.Fact{Text: text})
}

// last returns the fact of the latest line.
func (f *facts) last() *judge.Fact {
	if len(f.list) == 0 {
		f.list = append(f.list, judge.Fact{})
	}
	return &f.list[len(f.list)-1]
}

// ended adds that a side has given no answer.
func (f *facts) ended(sd *side, why string) {
	f.list = append(f.list, judge.Fact{Side: sd.role, Ended: why})
}

// saw adds what a descriptor of a side is now.
func (f *facts) saw(sd *side, d judge.Descriptor) {
	d.Side = sd.role
	if d.Else != notOpen {
		sd.seen[d.FD] = d
	}
	last := f.last()
	again := func(other judge.Descriptor) bool { return other.Side == d.Side && other.FD == d.FD }
	if i := slices.IndexFunc(last.Descriptors, again); i >= 0 {
		last.Descriptors[i] = d
		return
	}
	last.Descriptors = append(last.Descriptors, d)
}

// gone adds that a descriptor of a side is no longer open.
func (f *facts) gone(sd *side, fd int, what string) {
	was := sd.seen[fd]
	delete(sd.seen, fd)
	last := f.last()
	last.Descriptors = append(last.Descriptors, judge.Descriptor{Side: sd.role, FD: fd, Closed: true, File: was.File, Else: what})
}

// stillOpen adds which of the descriptors that the facts have named are no longer open.
func (f *facts) stillOpen(sd *side, open []int) {
	var closed []int
	for fd := range sd.seen {
		if !slices.Contains(open, fd) {
			closed = append(closed, fd)
		}
	}
	slices.Sort(closed)
	for _, fd := range closed {
		f.gone(sd, fd, sd.seen[fd].Else)
	}
}

// changed adds that the state of a file has changed.
func (f *facts) changed(file *witness.File, what string, was, now any) {
	last := f.last()
	last.States = append(last.States, judge.State{File: nameOf(file), What: what, Was: fmt.Sprint(was), Now: fmt.Sprint(now)})
}

// held adds that a file was open in no descriptor of the two sides, and the side that had to end first.
func (f *facts) held(file *witness.File, until scenario.Role) {
	last := f.last()
	last.Held = append(last.Held, judge.Held{File: nameOf(file), Until: until})
}

// finding adds a finding at the latest line.
func (f *facts) finding(text string) {
	if f.found == nil {
		f.found = map[int][]string{}
	}
	_ = f.last()
	at := len(f.list) - 1
	f.found[at] = append(f.found[at], text)
}

// nameOf returns how facts name a file.
func nameOf(file *witness.File) judge.File {
	if file == senderPidfd {
		return judge.File{Name: file.Name}
	}
	return judge.File{Name: file.Name, Owner: file.Owner, Socket: file.Kind == "sock"}
}

// given adds the descriptors with which a side was started.
func (f *facts) given(sd *side, files []*witness.File) {
	for _, file := range files {
		f.saw(sd, judge.Descriptor{FD: file.FD, Given: true, File: nameOf(file)})
	}
}

// identified returns a descriptor for the open file description of a file, and how the runner knows.
func identified(fd int, file *witness.File, way string) judge.Descriptor {
	if !file.Sure(way) {
		way += ", which other files share"
	}
	return judge.Descriptor{FD: fd, File: nameOf(file), Way: judge.Way(way)}
}

// infoOf returns what the kernel reports about a descriptor.
func infoOf(info procfs.FDInfo) *judge.Info {
	i := &judge.Info{CloseOnExec: info.CloseOnExec(), Offset: info.Pos}
	if status := info.Flags & (unix.O_APPEND | unix.O_NONBLOCK); status != 0 {
		i.Status = flagNames(status)
	}
	return i
}

const notOpen = "not open"

// whatIs asks the kernel what a descriptor is that is not as it should be.
func (cr *caseRun) whatIs(sd *side, fd int) judge.Descriptor {
	d := judge.Descriptor{FD: fd}
	id, err := procfs.Identify(sd.Pid, fd)
	if err != nil {
		d.Else = notOpen
		if witness.MayNotInspect(sd.Pid, err) {
			d.Else = "unknown: " + err.Error()
		}
		return d
	}
	name, err := procfs.ReadLink(sd.Pid, fd)
	d.Else = "no file of the case: " + name
	if err != nil {
		d.Else = "no file of the case"
	}
	for _, file := range cr.allFiles() {
		if id != file.FileID {
			continue
		}
		holds, way, err := cr.witness.Holds(file, cr.sides[file.Owner].Pid, sd.Pid, fd)
		if err == nil && holds {
			d = identified(fd, file, way)
			break
		}
		d.File, d.Else = nameOf(file), fmt.Sprintf("another open file description of %s, or of another file with its inode", nameOf(file))
		if file.Unique() {
			d.Else = fmt.Sprintf("another open file description of %s", nameOf(file))
		}
	}
	if info, err := procfs.ReadFDInfo(sd.Pid, fd); err == nil {
		d.Info = infoOf(info)
	}
	return d
}

// sawWrong adds what each of the descriptors in a wrong answer is.
func (cr *caseRun) sawWrong(sd *side, fds []int) {
	for _, fd := range fds[:min(len(fds), maxListed)] {
		cr.facts.saw(sd, cr.whatIs(sd, fd))
	}
}
