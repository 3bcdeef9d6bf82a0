package interop

import (
	"cmp"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// This file asks the kernel what the descriptors of a process are and in which state the files of the case are. It
// returns what has changed since it last looked.

// An observer looks at the two processes of a case and at its files.
type observer struct {
	*caseFiles
	kernel *witness.Witness
	sides  map[scenario.Role]*side
	made   []*witness.File                 // files that the runner's own processes have made
	states map[*witness.File]witness.State // of the named files, when they were last looked at
}

// A cachedFD describes a descriptor when the runner last looked at it. If it is known, the process was started with it
// or has named it, and the runner compares it with the file to which it referred then.
type cachedFD struct {
	fact.Descriptor
	later bool // it belongs to a later case
	known bool
	id    procfs.FileID
	file  *witness.File // the file of the case whose open file description it is, or nil
}

var self = os.Getpid() // asked for once, because it is a system call

// isUnchanged reports whether a descriptor that is known still refers to the same file. It calls kcmp(2)
// directly because each case checks hundreds of descriptors. Identify would be slower, because it looks up
// a name in /proc.
func (s *cachedFD) isUnchanged(pid, fd int) bool {
	if s.file != nil && s.file.Own >= 0 {
		if same, err := procfs.Kcmp(self, s.file.Own, pid, fd); err == nil {
			return same
		}
	}
	// Without kcmp(2), compare only the files and not the open file descriptions.
	id, err := procfs.Identify(pid, fd)
	return err != nil || id == s.id // on an error, the runner cannot look or it has been closed since
}

// look returns what has changed among the descriptors of a side, or why the runner may not look at them. It looks
// closer at the descriptors that an answer names. Later looks compare the fresh ones with what they are now. It looks
// at the descriptors for later cases, of which there are hundreds, only if all is true.
func (o *observer) look(sd *side, named, fresh []int, all bool) (f fact.Observation) {
	f.Side = sd.role
	open, closed, err := sd.openFDs()
	if witness.MayNotInspect(sd.Pid, err) {
		f.Unseen = err.Error()
		return f
	}
	f.Exited = len(open) == 0
	for _, fd := range closed {
		was := sd.cache[fd]
		d := fact.Descriptor{Side: sd.role, FD: fd, Closed: true, Files: was.Files, Else: was.Else}
		if was.later {
			d.Else = "given for a later case"
		}
		f.Descriptors = append(f.Descriptors, d)
		delete(sd.cache, fd)
	}
	for _, fd := range named {
		if i, isOpen := slices.BinarySearch(open, fd); !isOpen {
			open = slices.Insert(open, i, fd)
		}
	}
	for _, fd := range open {
		was := sd.cache[fd]
		isNamed := slices.Contains(named, fd)
		switch {
		case was == nil:
			was = &cachedFD{}
		case was.later && !all && !isNamed:
			continue
		case slices.Contains(fresh, fd):
			was.known = false
		}
		d, err := o.descriptor(sd, fd, was, isNamed)
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			f.Unseen = err.Error()
			return f
		case err != nil && isNamed:
			d.Err = err.Error()
			f.Descriptors = append(f.Descriptors, d)
		case err != nil:
			// It has been closed since.
		case isNamed || d.Changed != was.Changed || !reflect.DeepEqual(d.Files, was.Files):
			f.Descriptors = append(f.Descriptors, d)
			was.Descriptor, sd.cache[fd] = d, was
		}
	}
	return f
}

// openFDs returns the open descriptors of a side, and those that it had open before. A process that has ended has no
// descriptors, but it has not closed them. If the peer ends while the first list is being read, the second list is
// empty.
func (sd *side) openFDs() (open, closed []int, err error) {
	for range 2 {
		if open, err = procfs.OpenFDs(sd.Pid); err != nil || len(open) == 0 {
			return nil, nil, err
		}
		closed = nil
		for fd := range sd.cache {
			if _, isOpen := slices.BinarySearch(open, fd); !isOpen {
				closed = append(closed, fd)
			}
		}
		if len(closed) == 0 {
			break
		}
	}
	slices.Sort(closed)
	return open, closed, nil
}

// descriptor returns what a descriptor is.
func (o *observer) descriptor(sd *side, fd int, was *cachedFD, named bool) (d fact.Descriptor, err error) {
	d = fact.Descriptor{Side: sd.role, FD: fd}
	d.Changed = was.known && !was.isUnchanged(sd.Pid, fd)
	if was.known && !d.Changed && !named && !was.Changed {
		return was.Descriptor, nil
	}
	id, err := procfs.Identify(sd.Pid, fd)
	if err != nil {
		return d, err
	}
	sure := o.identify(sd, &d, id, named)
	if named && !was.known {
		was.known, was.id, was.file = true, id, sure
		for _, file := range o.allFiles() {
			if file.Owner == sd.role && file.FD == fd {
				file.Reused = true
			}
		}
	}
	if named || d.Changed {
		o.describe(sd, &d, id)
	}
	return d, nil
}

// identify adds the files of the case to which a descriptor refers, and returns the one of which it is sure. All pidfds
// of a process have the same inode, so one that an earlier case left is recognized by its descriptor, unless an answer
// names that.
func (o *observer) identify(sd *side, d *fact.Descriptor, id procfs.FileID, named bool) (sure *witness.File) {
	if o.Scenario.PassesPidfds(sd.role) && witness.IsPidfd(sd.Pid, d.FD) && (named || !slices.Contains(sd.before, d.FD)) {
		if info, err := procfs.ReadFDInfo(sd.Pid, d.FD); err == nil && info.PID == sd.other.Pid {
			d.Files = append(d.Files, fact.Match{File: fact.SenderPidfd, Sure: true})
		}
	}
	for _, file := range slices.Concat(o.named, o.made, o.sockets) {
		if file.FileID != id {
			continue
		}
		holds, way, err := o.kernel.Holds(file, o.sides[file.Owner].Pid, sd.Pid, d.FD)
		if err != nil || !holds {
			continue
		}
		m := fact.Match{File: nameOf(file), Way: fact.Way(way), Sure: file.Sure(way)}
		d.Files = append(d.Files, m)
		if sure == nil && m.Sure {
			sure = file
		}
	}
	return sure
}

// describe adds the flags of a descriptor, and what it is if it is no file of the case.
func (o *observer) describe(sd *side, d *fact.Descriptor, id procfs.FileID) {
	info, err := procfs.ReadFDInfo(sd.Pid, d.FD)
	if err != nil {
		d.InfoErr = err.Error()
	} else {
		d.Info = infoOf(info)
	}
	if len(d.Files) > 0 {
		return
	}
	d.Else = "no file of the case"
	if name, err := procfs.ReadLink(sd.Pid, d.FD); err == nil {
		d.Else += ": " + name
	}
	for _, file := range o.allFiles() {
		if file.FileID == id {
			d.Else = fmt.Sprintf("another open file description of %s", nameOf(file))
			if !file.Unique() {
				d.Else += ", or of another file with its inode"
			}
		}
	}
}

// owners identifies the two processes and their users.
func (o *observer) owners() (ids [2]fact.Owner) {
	for i, role := range roles {
		var err error
		ids[i].PID = o.sides[role].Pid
		if ids[i].UID, ids[i].GID, err = witness.Owner(ids[i].PID); err != nil {
			ids[i].Err = err.Error()
		}
	}
	return ids
}

// infoOf returns what the kernel reports about a descriptor.
func infoOf(info procfs.FDInfo) *fact.Info {
	i := &fact.Info{CloseOnExec: info.CloseOnExec(), Offset: info.Pos}
	if status := info.Flags & (unix.O_APPEND | unix.O_NONBLOCK); status != 0 {
		i.Status = flagNames(status)
	}
	return i
}

// nameOf returns how facts name a file.
func nameOf(file *witness.File) fact.File {
	return fact.File{Name: file.Name, Owner: file.Owner, Socket: file.Kind == "sock", Made: file.Kind == scenario.NewName}
}

// file returns the file of this name, or nil.
func (o *observer) file(name string) *witness.File {
	for _, file := range o.allFiles() {
		if file.Name == name {
			return file
		}
	}
	return nil
}

func (o *observer) allFiles() []*witness.File {
	return slices.Concat(o.named, o.sockets, o.made)
}

// addMade adds the file behind a new descriptor of one of the runner's own processes to the files of the case, so that
// the side can pass it.
func (o *observer) addMade(role scenario.Role, name string, fd int) {
	if o.file(name) != nil {
		return
	}
	if id, err := procfs.Identify(o.sides[role].Pid, fd); err == nil {
		spec := scenario.FileSpec{Name: name, Owner: role, Kind: scenario.NewName}
		o.made = append(o.made, &witness.File{FileSpec: spec, FileID: id, Own: -1, Other: -1, FD: fd})
	}
}

// changes returns how the states of the named files have changed.
func (o *observer) changes() (list []fact.State) {
	before := o.states
	o.states = o.currentStates()
	for _, file := range o.named {
		was, known := before[file]
		is, ok := o.states[file]
		if !known || !ok {
			continue
		}
		if was.Flags != is.Flags {
			list = append(list, fact.State{File: nameOf(file), What: "status flags", Was: flagNames(was.Flags), Now: flagNames(is.Flags)})
		}
		if was.Offset != is.Offset {
			list = append(list, fact.State{File: nameOf(file), What: fact.Offset, Was: fmt.Sprint(was.Offset), Now: fmt.Sprint(is.Offset)})
		}
	}
	return list
}

// flagNames returns the names that open(2) gives to status flags.
func flagNames(flags int) string {
	names := ""
	for _, f := range []struct {
		flag int
		name string
	}{
		{unix.O_APPEND, "O_APPEND"},
		{unix.O_ASYNC, "O_ASYNC"},
		{unix.O_DIRECT, "O_DIRECT"},
		{unix.O_NOATIME, "O_NOATIME"},
		{unix.O_NONBLOCK, "O_NONBLOCK"},
	} {
		if flags&f.flag != 0 {
			names += "|" + f.name
			flags &^= f.flag
		}
	}
	if flags != 0 {
		names += fmt.Sprintf("|%#x", flags)
	}
	return strings.TrimPrefix(cmp.Or(names, "none"), "|")
}
