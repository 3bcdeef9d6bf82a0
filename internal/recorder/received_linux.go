package recorder

import (
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// A descriptorTable is a descriptor table of traced threads. It contains the received descriptors that
// may still be open.
type descriptorTable struct {
	threads  int // that use the table, and have not begun to end
	received []receivedFD
	others   map[procfs.FileID][]int32 // other descriptors for the same files, as of the last receive
}

type receivedFD struct {
	receipt Receipt
	seen    seenFile      // valid if err is 0, except for fd, which is the current value, if the program has moved it
	err     syscall.Errno // why the file could not be identified

	fixed bool // the other descriptors for the file are unknown, so it is found only at its own value

	file File   // as it was received
	slot string // the name of the fixed file of an io_uring that it has become, or ""
}

// A Receipt identifies a received descriptor.
type Receipt struct {
	Process *Process // that has received it
	Thread  int
	Call    string // the name of the call
	Socket  File
	FD      int32 // the value when it was received
	Index   int   // its place, from 1, among the descriptors that the call has received
	Count   int   // how many descriptors the call has received

	seq int // of the call
}

// A fileID distinguishes open files as far as /proc allows it. It includes the flags of the open file
// description that no program can change. Two descriptors with the same fileID can still belong to
// different open file descriptions.
type fileID struct {
	procfs.FileID
	flags int

	// Anonymous files share one inode, and so do the files that each open of some devices creates. They are therefore
	// also distinguished by name and descriptor. This does not distinguish a received eventfd from an eventfd that the
	// program has created at the same descriptor. The eventfd-id in /proc/PID/fdinfo would not help, because the kernel
	// reuses that of a closed eventfd.
	name string
	fd   int32
}

// changeable are the flags that fcntl(2) can change after a file was opened.
const changeable = unix.O_APPEND | unix.O_NONBLOCK | unix.O_DIRECT | unix.O_NOATIME | unix.O_ASYNC | unix.O_CLOEXEC

// A seenFile is what /proc shows about an open descriptor.
type seenFile struct {
	fd   int32
	id   fileID
	born unix.StatxTimestamp // when the file was created; zero if the file system does not know
	name string
}

// identify returns what identifies a descriptor's file.
func identify(tid, fd int) (f seenFile, err error) {
	f.fd = int32(fd)
	var st unix.Statx_t
	f.id.FileID, err = procfs.Statx(tid, fd, unix.STATX_BTIME, &st)
	if err != nil {
		return f, err
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		f.born = st.Btime
	}
	if f.name, err = procfs.ReadLink(tid, fd); err != nil {
		return f, err
	}
	if sharesInode(f.id.FileID, &st) {
		f.id.name, f.id.fd = f.name, f.fd
	}
	info, err := procfs.ReadFDInfo(tid, fd)
	f.id.flags = info.Flags &^ changeable
	return f, err
}

// sharesInode reports whether several files have the inode.
func sharesInode(id procfs.FileID, st *unix.Statx_t) bool {
	device := unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	return id.Anonymous() || id.Type == unix.S_IFCHR && slices.Contains(cloned, device)
}

// cloned are the devices of which each open creates another file, such as another terminal.
var cloned = []uint64{
	unix.Mkdev(5, 2),    // ptmx
	unix.Mkdev(10, 200), // net/tun
	unix.Mkdev(10, 203), // cuse
	unix.Mkdev(10, 223), // uinput
	unix.Mkdev(10, 229), // fuse
	unix.Mkdev(10, 238), // vhost-net
	unix.Mkdev(10, 239), // uhid
	unix.Mkdev(10, 241), // vhost-vsock
	unix.Mkdev(108, 0),  // ppp
}

// deleted ends the name of a file that no longer has one.
const deleted = " (deleted)"

// replaced reports whether a descriptor is for another file now, although its fileID has not changed. A file system can
// reuse the inode number of a file that no longer exists.
func (f *seenFile) replaced(now seenFile) bool {
	var unknown unix.StatxTimestamp
	return f.born != now.born && f.born != unknown && now.born != unknown ||
		strings.HasSuffix(f.name, deleted) && path.Base(f.name) != path.Base(now.name)
}

// openFiles returns the descriptors of a thread for the given files, and all of them.
func openFiles(tid int, files map[procfs.FileID]bool) (map[int]procfs.FileID, procfs.Table, error) {
	all, err := procfs.Files(tid)
	open := maps.Clone(all)
	maps.DeleteFunc(open, func(_ int, id procfs.FileID) bool { return !files[id] })
	return open, procfs.Table{TID: tid, Files: all}, err
}

// ReceivedFDs returns the descriptors that the call has received.
func (c *Call) ReceivedFDs() (fds []int32) {
	if !c.receives() {
		return nil
	}
	for i := range c.transferred() {
		fds = append(fds, c.Exit.Messages[i].Control.firstFDs()...)
	}
	return fds
}

// noteReceived adds the descriptors that a call has received to the table of its thread.
func (t *tracer) noteReceived(th *thread, c *Call) {
	fds := c.ReceivedFDs()
	if t.o.StillOpen == nil || len(fds) == 0 {
		return
	}
	socket := File{FD: c.socket()}
	if f := c.file(c.socket(), false); f != nil {
		socket = *f
	}
	var arrived []receivedFD
	inodes := map[procfs.FileID]bool{}
	for i, fd := range fds {
		r := receivedFD{receipt: Receipt{
			Process: c.Process, Thread: c.Thread, Call: c.Name(), Socket: socket,
			FD: fd, Index: i + 1, Count: len(fds), seq: c.seq,
		}}
		var err error
		r.seen, err = identify(c.Thread, int(fd))
		if errors.Is(err, unix.ENOENT) {
			continue // another thread has closed it
		}
		_ = errors.As(err, &r.err)
		if f := c.file(fd, true); f != nil {
			r.file = *f
		}
		inodes[r.seen.id.FileID] = true
		arrived = append(arrived, r)
	}
	t.split(th)
	th.guessed = false
	th.table.add(c.Thread, arrived, inodes)
}

// maxTable is the size of the largest descriptor table that is read at a call. Reading that one takes 1 to 2 ms.
const maxTable = 512

// mayRead reports whether the descriptor table of a thread is not too large to be read at each call.
func mayRead(tid int) bool {
	size, err := strconv.Atoi(status(tid).Field("FDSize"))
	return err == nil && size <= maxTable
}

// add adds received descriptors. It first determines which other descriptors for the same files the table
// contains, unless the table is too large.
func (d *descriptorTable) add(tid int, arrived []receivedFD, inodes map[procfs.FileID]bool) {
	isNew := func(fd int32) bool {
		return slices.ContainsFunc(arrived, func(r receivedFD) bool { return r.seen.fd == fd })
	}
	var open map[int]procfs.FileID
	var table procfs.Table
	var err error
	if mayRead(tid) {
		open, table, err = openFiles(tid, inodes)
	}
	if open == nil || err != nil {
		d.received = slices.DeleteFunc(d.received, func(r receivedFD) bool { return isNew(r.seen.fd) })
		for i := range arrived {
			arrived[i].fixed = true
		}
	} else {
		maps.DeleteFunc(open, func(fd int, _ procfs.FileID) bool { return isNew(int32(fd)) })
		_ = d.follow(table, inodes, open, false) // which keeps those that may be fixed files
	}
	d.received = append(d.received, arrived...)
}

// follow drops the received descriptors for the given files that are no longer open, and follows those
// that the program has moved to another value. A descriptor counts as moved if the process has one
// more than the other descriptors that it already had for the file. Only then, or if whole, does follow look at the
// details of descriptors that still have their value and their file, because that takes long if there are many. It
// returns an error if it cannot look at the fixed files of io_urings.
func (d *descriptorTable) follow(
	table procfs.Table, files map[procfs.FileID]bool, open map[int]procfs.FileID, whole bool,
) error {
	inPlace := d.takeInPlace(open)
	s := newSearch(table, open)
	reused := map[procfs.FileID][]int32{} // by other descriptors for the file
	for i := range d.received {
		r := &d.received[i]
		id := r.seen.id.FileID
		if inPlace[i] && (whole || len(s.free[id]) > len(d.others[id])) && !s.is(r, r.seen.fd) {
			inPlace[i] = false
			reused[id] = append(reused[id], r.seen.fd)
		}
	}
	var kept []receivedFD
	for i, r := range d.received {
		if files[r.seen.id.FileID] && r.err == 0 && !inPlace[i] &&
			!s.findMoved(&r, d.others[r.seen.id.FileID]) && !s.findFixed(&r) {
			continue
		}
		kept = append(kept, r)
	}
	d.received = kept
	if d.others == nil {
		d.others = map[procfs.FileID][]int32{}
	}
	for id := range files {
		d.others[id] = append(s.free[id], reused[id]...)
	}
	return s.err
}

// takeInPlace says for each received descriptor whether its value is open, for the same file, and removes these values
// from open. If such a value is not the received descriptor, it may be newer than another one.
func (d *descriptorTable) takeInPlace(open map[int]procfs.FileID) []bool {
	inPlace := make([]bool, len(d.received))
	for i, r := range d.received {
		if id, ok := open[int(r.seen.fd)]; ok && id == r.seen.id.FileID && r.slot == "" {
			inPlace[i] = true
			delete(open, int(r.seen.fd))
		}
	}
	return inPlace
}

// A search looks for received descriptors among those that the process of a thread has open.
type search struct {
	table procfs.Table
	seen  map[int32]seenFile        // the details of the descriptors that it has looked at
	free  map[procfs.FileID][]int32 // those to which a received descriptor may have been moved, in order
	rings bool                      // it has looked at the fixed files
	fixed []string                  // the names of those that no received descriptor has become
	err   error                     // why it does not know all of them
}

func newSearch(table procfs.Table, open map[int]procfs.FileID) *search {
	s := &search{table: table, seen: map[int32]seenFile{}, free: map[procfs.FileID][]int32{}}
	for _, fd := range slices.Sorted(maps.Keys(open)) {
		s.free[open[fd]] = append(s.free[open[fd]], int32(fd))
	}
	return s
}

// is reports whether fd is the received descriptor.
func (s *search) is(r *receivedFD, fd int32) bool {
	now, ok := s.seen[fd]
	if !ok {
		var err error
		if now, err = identify(s.table.TID, int(fd)); err != nil {
			now = seenFile{}
		}
		s.seen[fd] = now
	}
	return now.id == r.seen.id && !r.seen.replaced(now)
}

// findMoved sets the value to which a received descriptor was moved, and removes it from free. The process had the
// other descriptors for the file before. It returns false if the descriptor was not moved.
func (s *search) findMoved(r *receivedFD, others []int32) bool {
	id := r.seen.id.FileID
	fds := s.free[id]
	if r.fixed || r.slot != "" || r.seen.id.name != "" || len(fds) <= len(others) {
		return false
	}
	// Descriptors that are not new may still be the other ones.
	at := slices.IndexFunc(fds, func(fd int32) bool { return !slices.Contains(others, fd) && s.is(r, fd) })
	if at < 0 {
		return false
	}
	r.seen.fd = fds[at]
	s.free[id] = slices.Delete(fds, at, at+1)
	return true
}

// find returns the received descriptor that a thread has as fd, even if it has moved or duplicated that descriptor.
func (d *descriptorTable) find(tid int, fd int32) *Receipt {
	if len(d.received) == 0 {
		return nil
	}
	id, err := procfs.Identify(tid, int(fd))
	sameFile := func(r receivedFD) bool { return r.err == 0 && r.slot == "" && r.seen.id.FileID == id }
	if err != nil || !slices.ContainsFunc(d.received, sameFile) {
		return nil
	}
	isOpen := func(r receivedFD) bool { return r.seen.fd == fd && sameFile(r) }
	now := d
	at := slices.IndexFunc(now.received, isOpen)
	if at < 0 && mayRead(tid) {
		now = d.copy() // so that a duplicate is not taken for a descriptor that the thread had before the receive
		_ = now.update(tid)
		at = slices.IndexFunc(now.received, isOpen)
	}
	if at < 0 {
		at = slices.IndexFunc(now.received, func(r receivedFD) bool {
			if !sameFile(r) {
				return false
			}
			same, _ := procfs.Kcmp(tid, int(r.seen.fd), tid, int(fd))
			return same
		})
	}
	if at < 0 {
		return nil
	}
	receipt := now.received[at].receipt
	return &receipt
}

// findFixed finds the fixed file of an io_uring that a received descriptor has become, by its name, and removes it from
// fixed. It returns false if there is none.
func (s *search) findFixed(r *receivedFD) bool {
	if !s.rings {
		s.rings = true
		var rings []procfs.Ring
		rings, s.err = s.table.Rings()
		for _, ring := range rings {
			s.fixed = append(s.fixed, ring.Files...)
		}
	}
	received := strings.TrimSuffix(r.seen.name, deleted)
	at := slices.IndexFunc(s.fixed, func(name string) bool {
		name = strings.TrimSuffix(name, deleted)
		return name == received || name == path.Base(received) // all that older kernels show
	})
	if at < 0 {
		return s.err != nil
	}
	r.slot = s.fixed[at]
	s.fixed = slices.Delete(s.fixed, at, at+1)
	return true
}

// update follows all received descriptors.
func (d *descriptorTable) update(tid int) error {
	files := map[procfs.FileID]bool{}
	for _, r := range d.received {
		files[r.seen.id.FileID] = true
	}
	open, table, err := openFiles(tid, files)
	if err == nil {
		err = d.follow(table, files, open, true)
	}
	return err
}

// copy returns the table of a new process, which has the same descriptors.
func (d *descriptorTable) copy() *descriptorTable {
	c := &descriptorTable{received: slices.Clone(d.received), others: map[procfs.FileID][]int32{}}
	for id, fds := range d.others {
		c.others[id] = slices.Clone(fds)
	}
	return c
}

// use makes a thread use a table.
func (th *thread) use(d *descriptorTable) {
	d.threads++
	th.table = d
}

// inherit returns the table of a new process: that of its parent if they share it, or else a copy.
func (d *descriptorTable) inherit(parent, child int) *descriptorTable {
	if same, _ := procfs.SameTable(parent, child); same {
		return d
	}
	return d.copy()
}

// split gives a copy of a thread's table to the threads that have stopped sharing it. This must precede each change of
// the table, because a descriptor that the thread receives from now on is in its own table only.
func (t *tracer) split(th *thread) {
	var rest *descriptorTable // they are split among themselves later
	for _, other := range t.threads {
		if other == th || other.left || other.table != th.table {
			continue
		}
		same, err := procfs.SameTable(th.tid, other.tid)
		switch {
		case err == unix.ESRCH || same:
		case err != nil:
			t.tablesUnknown(err)
			return
		case hasTable(th.tid) && hasTable(other.tid):
			if rest == nil {
				rest = th.table.copy()
			}
			th.table.threads--
			other.use(rest)
		}
	}
}

// shares reports whether another thread that has not begun to end shares the table. Unlike split, it stops at the first
// one, because a process can have thousands of threads.
func (t *tracer) shares(th *thread) bool {
	for _, other := range t.threads {
		if other != th && !other.left && other.table == th.table {
			if same, _ := procfs.SameTable(th.tid, other.tid); same {
				return true
			}
		}
	}
	return false
}

// hasTable reports whether a thread still has a descriptor table. It gives up its memory first when it ends.
func hasTable(tid int) bool {
	s := status(tid)
	return s != "" && !s.IsEnding()
}

// tablesUnknown calls Options.TablesUnknown, if it has not yet.
func (t *tracer) tablesUnknown(err error) {
	if t.o.TablesUnknown != nil {
		t.o.TablesUnknown(os.NewSyscallError("kcmp", err))
		t.o.TablesUnknown = nil
	}
}

// leaveTable reports the received descriptors that are still open if the thread is the last one that
// uses its table. If the thread has already ended, /proc no longer shows them.
func (t *tracer) leaveTable(th *thread, ended bool) {
	if th.left {
		return
	}
	if !ended && len(th.table.received) > 0 && !t.shares(th) {
		t.split(th)
	}
	th.left = true
	th.table.threads--
	if th.table.threads > 0 {
		return
	}
	if ended {
		t.report(th, StillOpen{}, unix.ESRCH)
	} else {
		t.witnessed(th)
		t.report(th, StillOpen{}, th.updateTable())
	}
	th.table.received = nil // a thread that was killed as soon as it was created may appear only now
}

// witnessed lets a test look at a process before its descriptors are reported.
func (t *tracer) witnessed(th *thread) {
	if t.o.atStillOpen != nil {
		t.o.atStillOpen(th.tid)
	}
}

// passOn reports the received descriptors that an execve has passed on.
func (t *tracer) passOn(th *thread) {
	if th.table.threads > 1 { // the execve has made a copy of a table that other processes use
		th.table.threads--
		th.use(th.table.copy())
	}
	t.witnessed(th)
	if len(th.table.received) == 0 {
		return
	}
	t.report(th, StillOpen{Exec: true, Program: th.process.program}, th.updateTable())
}

// reportRunning reports the received descriptors of processes that run on. It reports those of a shared table once.
func (t *tracer) reportRunning() {
	for _, tid := range slices.Sorted(maps.Keys(t.threads)) {
		th := t.threads[tid]
		if th.left || len(th.table.received) == 0 || ended(tid) {
			continue
		}
		t.split(th)
		t.report(th, StillOpen{Running: !inExitStop(tid)}, th.updateTable())
		th.table.received = nil
	}
}

// updateTable updates the thread's table.
func (th *thread) updateTable() (errno syscall.Errno) {
	if len(th.table.received) > 0 {
		_ = errors.As(th.table.update(th.tid), &errno)
	}
	return errno
}

// report passes each received descriptor to Options.StillOpen. If errno is not 0, the
// descriptors could not be looked up.
func (t *tracer) report(th *thread, o StillOpen, errno syscall.Errno) {
	if t.o.StillOpen == nil {
		return
	}
	for _, r := range th.table.received {
		o.Process, o.Receipt, o.Fixed = th.process, r.receipt, r.slot != ""
		switch {
		case errno != 0:
			o.File = File{FD: r.seen.fd, Errno: errno}
		case r.err != 0:
			o.File = File{FD: r.seen.fd, Errno: r.err}
		case o.Fixed:
			o.File = r.file
			o.File.Name = r.slot
		default:
			o.File = t.lookup.file(th.tid, r.seen.fd, true)
		}
		o.perhaps = r.seen.id.Type == unix.S_IFCHR && r.seen.id.name != "" || o.File.Name != r.seen.name ||
			strings.HasSuffix(r.slot, deleted) // other files can have the same name
		found := o
		t.o.StillOpen(&found)
	}
}
