package recorder

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// Options select the calls to record. The zero value selects every call that can carry ancillary
// data. Record and Attach return these calls.
type Options struct {
	// Handle, if set, is called with each call at its exit. Record and Attach then return no calls.
	// The thread that made the call is stopped until Handle returns.
	Handle func(*Call)
	// Sections records all calls between marks, and no other calls. It leaves Call.Files empty, because
	// looking up the files of all descriptors takes most of the time of a recording.
	Sections bool
	// NoFilter stops the program at each of its system calls instead of installing a filter.
	NoFilter bool
	// Ancillary leaves out calls for which Call.Ancillary returns false.
	Ancillary bool
	// Limit is the maximum number of bytes to record from each payload buffer. 0 means 1 MiB,
	// which is also the limit for all other memory.
	Limit int
	// Sum records a checksum of the payload bytes after Limit that the kernel sends or receives.
	Sum bool
	// StillOpen, if set, is called for each received descriptor that is still open when its process ends,
	// or that an execve passes on. Its process is stopped until StillOpen returns. The process of a
	// descriptor table that several processes share is the last one that ends. StillOpen is also called
	// just before Attach detaches from a process, which is not stopped then.
	StillOpen func(*StillOpen)
	// TablesUnknown, if set, is called at most once, if kcmp(2) is missing or not permitted. The recorder then assumes
	// that all threads of a process share a descriptor table, and does not call StillOpen for some descriptors of
	// threads that have a table of their own.
	TablesUnknown func(why error)
	// LeftOut is called for each child that Attach does not record because another process traces
	// it. Processes that such a child starts later are not recorded either.
	LeftOut func(pid int, why error)
	// Started is called with the command's process before the command executes its first instruction.
	Started func(*os.Process)

	atStillOpen func(tid int) // for tests: called before the descriptors of a process are reported, if any
}

// A tracer must always be used on the same operating system thread.
type tracer struct {
	o        Options
	filtered bool // the command has a filter
	reader   reader
	lookup   lookup
	threads  map[int]*thread
	dead     *thread // the last thread that has ended
	queue    []change
	calls    []Call
	seq      int

	process  *os.Process // the one that Record started
	starting bool        // the process is still the stub
	ending   bool        // record nothing more
	status   unix.WaitStatus
}

type thread struct {
	tid      int
	process  *Process
	section  int
	inside   bool // between the entry and the exit of a call
	call     *Call
	table    *descriptorTable
	left     bool // it has begun to end, and no longer uses the table
	complete bool // its options are set: see completeOptions
	guessed  bool // appear has guessed whose table it has or has copied, and it has received nothing since
}

func newTracer(o Options) *tracer {
	limit := o.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	return &tracer{o: o, reader: reader{limit, o.Sum}, threads: map[int]*thread{}}
}

// add adds a thread of a process, which uses a descriptor table.
func (t *tracer) add(tid int, p *Process, d *descriptorTable) *thread {
	th := &thread{tid: tid, process: p}
	th.use(d)
	t.threads[tid] = th
	return th
}

// A change is a state change that wait4 has reported for a thread.
type change struct {
	tid    int
	status unix.WaitStatus
}

// wait returns the next change. If several threads have changed, the kernel always reports the same
// thread first, so a busy thread could starve the others. To prevent this, wait queues all pending
// changes before it returns the first.
func (t *tracer) wait() (int, unix.WaitStatus, error) {
	if len(t.queue) == 0 {
		tid, status, err := waitChange(-1, 0)
		if err != nil {
			return 0, 0, err
		}
		t.push(tid, status)
		for len(t.threads) > 1 {
			tid, status, err := waitChange(-1, unix.WNOHANG)
			if err != nil || tid == 0 {
				break
			}
			t.push(tid, status)
		}
	}
	next := t.queue[0]
	t.queue = t.queue[1:]
	return next.tid, next.status, nil
}

// push queues a change. It drops an earlier change with the same thread ID, because that thread
// was killed and a new thread may have its ID.
func (t *tracer) push(tid int, status unix.WaitStatus) {
	t.queue = slices.DeleteFunc(t.queue, func(c change) bool { return c.tid == tid })
	t.queue = append(t.queue, change{tid, status})
}

// loop handles changes until all threads have ended.
func (t *tracer) loop() error {
	for len(t.threads) > 0 {
		tid, status, err := t.wait()
		if err == unix.ECHILD {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		// ESRCH: the thread was killed, and wait reports it
		if err := t.handle(tid, status); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// handle handles a change of a thread, and resumes the thread if it has stopped.
func (t *tracer) handle(tid int, status unix.WaitStatus) error {
	th := t.threads[tid]
	if !status.Stopped() {
		if t.process != nil && tid == t.process.Pid {
			t.status = status
		}
		if th != nil {
			t.abandon(th)
			t.leaveTable(th, true)
			delete(t.threads, tid)
			t.dead = th
		}
		return nil
	}
	if event(status) == unix.PTRACE_EVENT_EXEC {
		th = t.exec(tid)
	}
	if th == nil {
		th = t.appear(tid)
	}
	if !th.complete {
		t.completeOptions(th)
	}
	sig := status.StopSignal()
	switch event(status) {
	case 0:
		if sig == syscall.SIGTRAP|0x80 {
			return t.syscallStop(th)
		}
		return t.resume(th, sig)
	case unix.PTRACE_EVENT_SECCOMP:
		if t.starting { // the stub's mark: the filter is installed
			t.filtered = true
			return t.resume(th, 0)
		}
		return t.syscallStop(th)
	case unix.PTRACE_EVENT_EXEC:
		if t.starting {
			t.starting = false
			if t.o.Started != nil {
				t.o.Started(t.process)
			}
		}
		th.process.program, _ = os.Readlink("/proc/" + strconv.Itoa(tid) + "/exe") // "" if it may not be read
		t.passOn(th)
	case unix.PTRACE_EVENT_EXIT:
		t.leaveTable(th, false)
	case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK, unix.PTRACE_EVENT_CLONE:
		if child, ok := eventMessage(tid); ok {
			t.made(th, child)
		}
	case unix.PTRACE_EVENT_STOP:
		switch sig {
		case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
			// The whole process is stopped, and stays stopped until SIGCONT.
			// EIO: it was killed, and has stopped to end
			if err := resume(unix.PTRACE_LISTEN, tid, 0); err != unix.EIO {
				return err
			}
			return nil
		}
	}
	return t.resume(th, 0)
}

// resume lets a thread run to the next stop that the tracer needs.
func (t *tracer) resume(th *thread, sig unix.Signal) error {
	// The thread may have been killed after it stopped, and stopped again because it ends.
	if !th.left && t.o.StillOpen != nil && len(th.table.received) > 0 && inExitStop(th.tid) {
		t.leaveTable(th, false)
	}
	request := unix.PTRACE_SYSCALL
	if t.starting || t.filtered && !th.inside && th.section == 0 {
		request = unix.PTRACE_CONT // up to a call that the filter stops
	}
	return resume(request, th.tid, sig)
}

// appear adds a thread that stops before the kernel has reported which thread created it. If the
// creating thread was killed, the kernel never reports the creation, so appear does not wait for
// the report. It reads the IDs of the process and its parent from /proc. The parent can be wrong. If
// the kernel does report later which thread created the new one, made corrects it.
func (t *tracer) appear(tid int) *thread {
	s := status(tid)
	parent := t.dead
	var sibling *thread // that shares its table, if there is one
	for _, th := range t.threads {
		switch strconv.Itoa(th.process.PID) {
		case s.Field("Tgid"):
			if same, _ := procfs.SameTable(th.tid, tid); same || sibling == nil {
				sibling = th
			}
		case s.Field("PPid"):
			// A thread that has ended shares its table with no one.
			if !th.left || parent == t.dead {
				parent = th
			}
		}
	}
	var th *thread
	switch {
	case sibling != nil:
		th = t.add(tid, sibling.process, sibling.table)
	case parent != nil:
		th = t.add(tid, parent.process.newChild(tid), parent.table.inherit(parent.tid, tid))
	default:
		th = t.add(tid, &Process{PID: tid}, new(descriptorTable))
	}
	th.guessed = true
	return th
}

// made records that a thread has created another one, in its process or in a new one. If the tracer does not
// know the thread yet, the thread has either not stopped for the first time or already ended. If it
// has ended, the kernel reports nothing more about it.
func (t *tracer) made(creator *thread, tid int) {
	p, th := creator.process, t.threads[tid]
	switch {
	case th == nil && !waitable(tid):
	case th == nil && status(tid).Field("Tgid") == strconv.Itoa(p.PID):
		t.add(tid, p, creator.table)
	case th == nil:
		t.add(tid, p.newChild(tid), creator.table.inherit(creator.tid, tid))
	case th.process != p && th.process.parent != p:
		p.addChild(th.process)
	}
	if th != nil && th.guessed && !th.left {
		th.table.threads--
		if th.process == p {
			th.use(creator.table)
		} else {
			th.use(creator.table.inherit(creator.tid, tid))
		}
	}
}

// exec updates the threads of a process after an execve. The thread that called execve takes over the
// ID of the first thread, and all other threads have ended.
func (t *tracer) exec(tid int) *thread {
	th := t.threads[tid]
	former, ok := eventMessage(tid)
	if !ok {
		former = t.execCaller(tid)
	}
	if former == tid {
		return th
	}
	caller := t.threads[former]
	if caller == nil {
		return th
	}
	if th != nil {
		t.abandon(th)
		t.leaveTable(th, true)
	}
	delete(t.threads, former)
	caller.tid = tid
	t.threads[tid] = caller
	return caller
}

// execCaller returns the former ID of the thread that called execve, if the kernel no longer reports it. All other
// threads of the process have ended.
func (t *tracer) execCaller(tid int) int {
	for id, th := range t.threads {
		if th.process.PID == tid && id != tid && !th.left {
			return id
		}
	}
	return tid
}

// syscallStop handles a stop at the entry or the exit of a call.
func (t *tracer) syscallStop(th *thread) error {
	var info syscallInfo
	if err := info.get(th.tid); err != nil {
		return err
	}
	switch {
	case t.ending:
	case info.op == unix.PTRACE_SYSCALL_INFO_EXIT:
		t.leave(th, &info)
	case info.op == unix.PTRACE_SYSCALL_INFO_SECCOMP && th.inside: // seen at its entry
	case info.op == unix.PTRACE_SYSCALL_INFO_ENTRY || info.op == unix.PTRACE_SYSCALL_INFO_SECCOMP:
		t.abandon(th)
		t.enter(th, &info)
	}
	return t.resume(th, 0)
}

// enter handles the entry of a call.
func (t *tracer) enter(th *thread, info *syscallInfo) {
	th.inside = true
	arch := archOf(info.arch)
	if arch == nil {
		return
	}
	nr, args := info.words[0], info.words[1:]
	sig := arch.calls()[nr]
	if t.o.Sections {
		if n, ok := mark(sig, args); ok {
			th.section = n
			return
		}
		if th.section == 0 {
			return
		}
	}
	c := &Call{Process: th.process, Program: th.process.program, Thread: th.tid, Arch: arch, Nr: nr, Section: th.section, sig: sig, seq: t.seq}
	t.seq++
	copy(c.Registers[:], args)
	if sig != nil {
		c.Args = slices.Clone(c.Registers[:len(sig.params)])
	}
	c.decodeEntry(&t.reader)
	if !t.o.Sections && !c.hasMessages() {
		return
	}
	if t.o.Ancillary && !c.receives() && !c.Ancillary() {
		th.inside = false // do not stop at its exit
		return
	}
	if !t.o.Sections {
		c.lookUpEntry(&t.lookup)
		for i := range c.Files {
			c.Files[i].from = th.table.find(c.Thread, c.Files[i].FD)
		}
	}
	th.call = c
}

// mark reports whether the call is a mark, and which section it begins.
func mark(sig *signature, args []uint64) (section int, ok bool) {
	if sig == nil || sig.name != "getpriority" || uint32(args[0]) != Mark {
		return 0, false
	}
	return int(int32(args[1])), true
}

// leave handles the exit of a call.
func (t *tracer) leave(th *thread, info *syscallInfo) {
	c := th.call
	th.call, th.inside = nil, false
	if c == nil {
		return
	}
	if c.sig == nil || c.sig.result != argNothing {
		value, failed := info.result()
		c.Result = value
		if failed {
			c.Result, c.Errno = -1, syscall.Errno(-value)
		}
	}
	c.decodeExit(&t.reader)
	if !t.o.Sections {
		c.lookUpExit(&t.lookup)
	}
	t.noteReceived(th, c)
	t.emit(c)
}

// abandon ends a call whose exit the tracer will not see.
func (t *tracer) abandon(th *thread) {
	if c := th.call; c != nil {
		c.Unfinished = true
		t.emit(c)
	}
	th.call, th.inside = nil, false
}

// emit passes a call to Options.Handle, or keeps it.
func (t *tracer) emit(c *Call) {
	if t.o.Ancillary && !c.Ancillary() {
		return
	}
	c.end = t.seq
	t.seq++
	if t.o.Handle != nil {
		t.o.Handle(c)
		return
	}
	t.calls = append(t.calls, *c)
}
