package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// acts maps the verb of each of the runner's own lines (scenario.ActForms) to its method. interop/judge/acts.go
// judges what the method finds. process.ErrCut ends the pair. Any other error explains why the case could not be
// run.
var acts = map[string]func(*act) error{
	"seek":       (*act).setOffset,
	"pos":        (*act).look,
	"flags":      (*act).look,
	"drop":       (*act).dropCopy,
	"eof":        (*act).checkFree,
	"pending":    (*act).checkNothingQueued,
	"blocked":    (*act).awaitSleep,
	"settled":    (*act).awaitSleep,
	"limit":      (*act).limitFDs,
	"setsockopt": (*act).setSocketOption,
	"shutdown":   (*act).shutDownSocket,
	"nonblock":   (*act).setNonblock,
	"kill":       (*act).sendSignal,
}

// An act is a transcript line that the runner executes itself.
type act struct {
	line  scenario.Act
	run   *caseRun
	side  *side // the side that the line names, or side A if the line is about a file
	fd    int   // the descriptor that it names
	acted fact.Acted
}

// act runs one of the runner's own lines, and returns the outcome. After the last line that needs the runner's copy of
// a peer's socket, act closes that copy.
func (cr *caseRun) act(do judge.Act) (any, error) {
	cr.transcribe("R> %s", do.Step.Text)
	a := &act{do.Step.Act, cr, cr.sides[do.Role], do.FD, fact.Acted{}}
	err := acts[a.line.Verb](a)
	if needsSocket(do.Step, do.Role) && !cr.needsSocketAfter(do.Step.Line, do.Role) {
		a.side.socket.Drop()
	}
	var call *os.SyscallError // that some systems lack or forbid
	missing := []error{unix.EPERM, unix.ENOSYS, unix.ENOPROTOOPT, unix.EOPNOTSUPP}
	switch {
	case err == nil:
		return a.acted, nil
	case errors.Is(err, process.ErrCut):
		return nil, err
	case errors.As(err, &call) && slices.ContainsFunc(missing, func(errno error) bool { return errors.Is(err, errno) }):
		return cannot(do.At, scenario.Unsupported, fmt.Errorf("this system does not support %w", err)), nil
	}
	return cannot(do.At, scenario.NotRun, err), nil
}

// needsSocketAfter reports whether a line after this one needs the runner's copy of the socket of this role.
func (cr *caseRun) needsSocketAfter(line int, role scenario.Role) bool {
	return slices.ContainsFunc(cr.Scenario.Steps, func(st scenario.Step) bool {
		return st.Line > line && needsSocket(st, role)
	})
}

// needsSocket reports whether a line needs the runner's copy of the socket of this role.
func needsSocket(st scenario.Step, role scenario.Role) bool {
	return st.Act.OfSocket() && st.Act.Role == role
}

// setOffset (seek NAME=OFFSET) sets the offset of a file through the runner's own copy.
func (a *act) setOffset() error {
	file := a.run.file(a.line.Name)
	if file == nil || file.Own < 0 {
		return fmt.Errorf("the runner has no copy of %q", a.line.Name)
	}
	if _, err := unix.Seek(file.Own, a.line.Value, unix.SEEK_SET); err != nil {
		return fmt.Errorf("lseek: %w", err)
	}
	if state, ok := a.run.states[file]; ok {
		state.Offset = a.line.Value
		a.run.states[file] = state
	}
	return nil
}

// look (pos ROLE NAME=OFFSET, flags ROLE NAME=FLAGS) reads the offset and the status flags of the peer's descriptor.
func (a *act) look() error {
	info, err := procfs.ReadFDInfo(a.side.Pid, a.fd)
	d := fact.Descriptor{}
	if was := a.side.cache[a.fd]; was != nil {
		d = was.Descriptor
	}
	d.Side, d.FD, d.Given, d.Info = a.side.role, a.fd, false, infoOf(info)
	a.acted.Descriptor = &d
	return err
}

// dropCopy (drop NAME) closes the runner's own copy of a file.
func (a *act) dropCopy() error {
	file := a.run.file(a.line.Name)
	if file == nil {
		return fmt.Errorf("no file %q", a.line.Name)
	}
	file.Drop()
	return nil
}

// checkFree (eof NAME) polls the other end of a pipe or pair until it reports that this end is no
// longer open anywhere.
func (a *act) checkFree() error {
	file := a.run.file(a.line.Name)
	if file == nil || file.Other < 0 {
		return fmt.Errorf("%q has no other end", a.line.Name)
	}
	held, err := awaitFree(a.run.env.ctx, []*witness.File{file}, a.run.limit())
	if err == nil && len(held) > 0 {
		a.acted.StillOpen, err = a.run.findHolder(file)
	}
	return err
}

// checkNothingQueued (pending ROLE) looks whether the peer could receive a message. End of
// file does not count as a message.
func (a *act) checkNothingQueued() error {
	fd := a.side.socket.Own
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	for err == unix.EINTR {
		n, err = unix.Poll(fds, 0)
	}
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if n != 0 && !onlyEnd(fd, fds[0].Revents) {
		a.acted.Saw = "something to receive"
	}
	return nil
}

// onlyEnd reports whether end of file is all that the socket has to receive. The events are those
// that poll returned for the socket. An empty packet without descriptors cannot be distinguished
// from end of file, so onlyEnd treats it as such.
func onlyEnd(sock int, events int16) bool {
	if n, err := unix.IoctlGetUint32(sock, unix.SIOCINQ); events&unix.POLLRDHUP == 0 || err != nil || n > 0 {
		return false
	}
	kind, err := raw.GetOption(sock, "type")
	if err != nil || kind == unix.SOCK_STREAM {
		return err == nil // a stream has no empty message
	}
	if events&unix.POLLERR != 0 {
		return true // a receive would take the error away from the peer
	}
	_, _, flags, err := raw.Recv(sock, [][]byte{{0}}, 0, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != nil || flags&unix.MSG_CTRUNC == 0
}

// limitFDs (limit ROLE nofile=LIMIT) sets the peer's RLIMIT_NOFILE: nofile=+K leaves it K free
// descriptors, nofile=K makes K the limit, nofile=- restores its original limit.
func (a *act) limitFDs() error {
	sd := a.side
	if a.line.Word == "-" {
		sd.restoreLimit()
		return nil
	}
	open, err := procfs.OpenFDs(sd.Pid)
	if err != nil {
		return err
	}
	var old unix.Rlimit
	if err := unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		return os.NewSyscallError("prlimit", err)
	}
	if sd.ownLimit == nil {
		sd.ownLimit = &old
	}
	limit := unix.Rlimit{Cur: uint64(a.line.Value), Max: old.Max}
	if a.line.Word == "+" {
		limit.Cur = procfs.LimitFor(open, int(a.line.Value))
	}
	return os.NewSyscallError("prlimit", unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, &limit, nil))
}

// setSocketOption (setsockopt ROLE OPTION=VALUE) sets an option of the peer's socket.
func (a *act) setSocketOption() error {
	return os.NewSyscallError("setsockopt", raw.SetOption(a.side.socket.Own, a.line.Name, int(a.line.Value)))
}

// shutDownSocket (shutdown ROLE HOW) shuts the peer's socket down from outside.
func (a *act) shutDownSocket() error {
	return os.NewSyscallError("shutdown", unix.Shutdown(a.side.socket.Own, raw.Shutdowns.Sum(a.line.Word)))
}

// setNonblock (nonblock ROLE) sets O_NONBLOCK on the open file description of the peer's socket.
func (a *act) setNonblock() error {
	return os.NewSyscallError("fcntl", unix.SetNonblock(a.side.socket.Own, true))
}

// awaitSleep (blocked ROLE) waits until the peer is blocked. The peer is blocked if it has read its
// command but not answered it, and all its threads are asleep. The transcript line "settled ROLE" also
// accepts a peer that has answered, and a peer that is still awake at the time limit because it
// retries its call instead of blocking.
func (a *act) awaitSleep() error {
	time.Sleep(time.Duration(a.line.Value) * time.Millisecond) // in which a library must not stop waiting
	return a.poll("is awake", func() (bool, error) {
		idle, err := a.side.IsIdle()
		// asked once, and last: it may answer at any time, and may have done so before it slept
		answered := a.side.Answered()
		if err == nil && answered && a.line.Verb == "blocked" {
			a.acted.Saw = "does not wait"
		}
		return answered || idle, err
	})
}

// poll waits until the peer has reached a state, or has ended, which the step that expects an answer reports.
func (a *act) poll(otherwise string, reached func() (bool, error)) error {
	sd := a.side
	for deadline := time.Now().Add(a.run.env.timeout); ; time.Sleep(time.Millisecond) {
		late := time.Now().After(deadline) // before it is asked: the runner may be stopped in between
		is, err := reached()
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return fmt.Errorf("cannot see whether %s %s: %w", sd.Peer.Name, otherwise, err)
		case err != nil, is:
			return nil
		case a.run.env.ctx.Err() != nil:
			sd.Kill()
			return process.ErrCut
		case late && a.line.Verb == "settled":
			return nil
		case late:
			return fmt.Errorf("%s %s", sd.Peer.Name, otherwise)
		}
	}
}

// sendSignal (kill ROLE SIGNAL) sends a signal to the thread that waits in a call on the case's
// socket, if the kernel shows which one that is, or else to the process.
func (a *act) sendSignal() error {
	sd := a.side
	signal := unix.SignalNum(a.line.Word)
	if err := unix.Tgkill(sd.Pid, witness.Waiter(sd.Pid, sd.socket.FD), signal); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if signal == unix.SIGCONT {
		sd.signals = slices.DeleteFunc(sd.signals, func(s syscall.Signal) bool { return s == unix.SIGSTOP })
	}
	sd.signals = append(sd.signals, signal)
	switch signal {
	case unix.SIGSTOP:
		// A thread stops only after it has left its system call.
		return a.poll("is still running", func() (bool, error) { return witness.Stopped(sd.Pid) })
	case unix.SIGKILL:
		return a.awaitDeath()
	}
	return nil
}

// awaitDeath waits until a peer that was sent SIGKILL has ended. If another process traces the
// peer, the kernel does not report the peer's exit until the tracer has waited for the peer.
func (a *act) awaitDeath() error {
	sd := a.side
	select {
	case <-sd.Gone:
	case <-a.run.env.ctx.Done():
		sd.Kill()
		return process.ErrCut
	case <-time.After(a.run.env.timeout):
		a.acted.Saw = "it does not end after SIGKILL: " + sd.Explain(process.ErrHang).Error()
	}
	return nil
}
