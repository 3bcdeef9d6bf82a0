package recorder

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options are what is recorded, and how. The zero value records every call
// that can carry ancillary data, and keeps it.
type Options struct {
	// Handle is given each call at its exit, in place of its being kept. It
	// runs while the thread that made the call is stopped.
	Handle func(*Call)
	// Sections records all calls between marks, and no others.
	Sections bool
	// NoFilter stops the program at each of its calls, without a filter.
	NoFilter bool
	// Ancillary leaves out calls that carry no ancillary data, as Call.Ancillary
	// has it.
	Ancillary bool
	// Limit is how many bytes are recorded of the payload in one buffer; 0
	// stands for 1 MiB, which is the limit of all other memory.
	Limit int
	// Sum records a sum of what the kernel sends or receives of a payload behind Limit.
	Sum bool
	// LeftOut is called for each child that Attach does not record, because another
	// process traces it, and why. What such a child starts is not recorded either,
	// unless it was there before.
	LeftOut func(pid int, why error)
	// Started is called with the process before its first instruction.
	Started func(*os.Process)
}

// A tracer belongs to one operating system thread.
type tracer struct {
	o       Options
	mode    resumeMode
	reader  reader
	lookup  lookup
	threads map[int]*thread
	dead    *Process // the last of which a thread has ended
	queue   []change
	calls   []Call
	seq     int

	process  *os.Process // that Record started
	starting bool        // it is still the stub
	ending   bool        // nothing is recorded any more
	status   unix.WaitStatus
}

// resumeMode is how threads run on that are in no call and in no section.
type resumeMode int

const (
	toFilter  resumeMode = unix.PTRACE_CONT    // up to a call that the filter stops
	toSyscall resumeMode = unix.PTRACE_SYSCALL // up to the next call
)

type thread struct {
	tid     int
	process *Process
	section int
	inside  bool // a call: between its entry and its exit
	call    *Call
}

func newTracer(o Options) *tracer {
	limit := o.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	return &tracer{o: o, mode: toSyscall, reader: reader{limit, o.Sum}, threads: map[int]*thread{}}
}

// add makes a thread of its own process known.
func (t *tracer) add(tid int, p *Process) *thread {
	th := &thread{tid: tid, process: p}
	t.threads[tid] = th
	return th
}

// A change is what wait4 reported of a thread.
type change struct {
	tid    int
	status unix.WaitStatus
}

// wait returns the next change. Of many the kernel reports first that of the same
// threads, so that busy ones would keep the tracer from others: it takes in
// turn what is there.
func (t *tracer) wait() (int, unix.WaitStatus, error) {
	if len(t.queue) == 0 {
		tid, status, err := waitStop(-1)
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

// push queues a change. One before of the same thread is past: the thread was
// killed, and it may be another that has its number now.
func (t *tracer) push(tid int, status unix.WaitStatus) {
	t.queue = slices.DeleteFunc(t.queue, func(c change) bool { return c.tid == tid })
	t.queue = append(t.queue, change{tid, status})
}

// loop handles stops until there is nobody left.
func (t *tracer) loop() error {
	for len(t.threads) > 0 {
		tid, status, err := t.wait()
		if err == unix.ECHILD {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if err := t.handle(tid, status); err != nil && !errors.Is(err, unix.ESRCH) { // killed meanwhile: wait reports it
			return err
		}
	}
	return nil
}

func (t *tracer) handle(tid int, status unix.WaitStatus) error {
	th := t.threads[tid]
	if !status.Stopped() {
		if t.process != nil && tid == t.process.Pid {
			t.status = status
		}
		if th != nil {
			t.abandon(th)
			delete(t.threads, tid)
			t.dead = th.process
		}
		return nil
	}
	if event(status) == unix.PTRACE_EVENT_EXEC {
		th = t.exec(tid)
	}
	if th == nil {
		th = t.appear(tid)
	}
	sig := status.StopSignal()
	switch event(status) {
	case 0:
		if sig == syscall.SIGTRAP|0x80 {
			return t.syscallStop(th)
		}
		return t.resume(th, sig)
	case unix.PTRACE_EVENT_SECCOMP:
		if t.starting { // the stub's mark
			t.mode = toFilter
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
	case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK, unix.PTRACE_EVENT_CLONE:
		if child, err := unix.PtraceGetEventMsg(tid); err == nil {
			t.made(th.process, int(child))
		}
	case unix.PTRACE_EVENT_STOP:
		switch sig {
		case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
			// All of the process is stopped. It stays so until SIGCONT.
			return resume(unix.PTRACE_LISTEN, tid, 0)
		}
	}
	return t.resume(th, 0)
}

func (t *tracer) resume(th *thread, sig unix.Signal) error {
	request := int(t.mode)
	if t.starting {
		request = unix.PTRACE_CONT
	} else if th.inside || th.section != 0 {
		request = unix.PTRACE_SYSCALL
	}
	return resume(request, th.tid, sig)
}

// appear makes a thread known that stops before its making could
// be reported. That may never happen: the maker may be killed, and is then perhaps gone
// already. So nothing is waited for: made corrects what is wrong here.
func (t *tracer) appear(tid int) *thread {
	s := status(tid)
	parent := t.dead
	for _, th := range t.threads {
		switch strconv.Itoa(th.process.PID) {
		case s.Field("Tgid"):
			return t.add(tid, th.process)
		case s.Field("PPid"):
			parent = th.process
		}
	}
	if parent == nil {
		return t.add(tid, &Process{PID: tid})
	}
	return t.add(tid, parent.newChild(tid))
}

// made records that p has made a thread, of its own or of a new process. One that is not
// known by now is to stop for the first time, or it has stopped, run and ended before its
// maker was reported: the kernel reports no more of it.
func (t *tracer) made(p *Process, tid int) {
	th := t.threads[tid]
	switch {
	case th == nil && !waitable(tid):
	case th == nil && status(tid).Field("Tgid") == strconv.Itoa(p.PID):
		t.add(tid, p)
	case th == nil:
		t.add(tid, p.newChild(tid))
	case th.process != p && th.process.parent != p:
		p.addChild(th.process)
	}
}

// exec records which thread this is from now on: the one that execs takes over the
// number of the first, and all others of the process are gone.
func (t *tracer) exec(tid int) *thread {
	th := t.threads[tid]
	former, err := unix.PtraceGetEventMsg(tid)
	if err != nil || int(former) == tid {
		return th
	}
	caller := t.threads[int(former)]
	if caller == nil {
		return th
	}
	if th != nil {
		t.abandon(th)
	}
	delete(t.threads, int(former))
	caller.tid = tid
	t.threads[tid] = caller
	return caller
}

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

// enter begins a call.
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
	c := &Call{Process: th.process, Thread: th.tid, Arch: arch, Nr: nr, Section: th.section, sig: sig, seq: t.seq}
	t.seq++
	copy(c.Registers[:], args)
	c.setArguments(c.Registers)
	if t.o.Sections || c.hasMessages() || c.ViaSocketcall() {
		c.decodeEntry(&t.reader)
	}
	if !t.o.Sections && !c.hasMessages() {
		return
	}
	if t.o.Ancillary && !c.receives() && !c.Ancillary() {
		th.inside = false // no need to stop at its exit
		return
	}
	c.lookUpEntry(&t.lookup)
	th.call = c
}

// mark reports whether the call is one, and which section it begins.
func mark(sig *signature, args []uint64) (section int, ok bool) {
	if sig == nil || sig.name != "getpriority" || uint32(args[0]) != Mark {
		return 0, false
	}
	return int(int32(args[1])), true
}

// leave ends a call.
func (t *tracer) leave(th *thread, info *syscallInfo) {
	c := th.call
	th.call, th.inside = nil, false
	if c == nil {
		return
	}
	value, failed := info.result()
	c.Result = value
	if failed {
		c.Result, c.Errno = -1, syscall.Errno(-value)
	}
	c.decodeExit(&t.reader)
	c.lookUpExit(&t.lookup)
	t.emit(c)
}

// abandon ends a call whose exit nobody will see.
func (t *tracer) abandon(th *thread) {
	if c := th.call; c != nil {
		c.Unfinished = true
		t.emit(c)
	}
	th.call, th.inside = nil, false
}

func (t *tracer) emit(c *Call) {
	if t.o.Ancillary && !c.Ancillary() {
		return
	}
	if t.o.Handle != nil {
		t.o.Handle(c)
		return
	}
	t.calls = append(t.calls, *c)
}
