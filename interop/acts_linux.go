package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// acts maps the verb of each of the runner's own lines (scenario.ActForms) to the method that runs
// it. A method returns errCaseOver to end the case, and errSessionOver or process.ErrCut to end the
// session. Any other error explains why the case could not be run.
var acts = map[string]func(*caseRun, act) error{
	"seek":       (*caseRun).setOffset,
	"pos":        (*caseRun).checkOffset,
	"flags":      (*caseRun).checkStatusFlags,
	"drop":       (*caseRun).dropCopy,
	"eof":        (*caseRun).checkFree,
	"pending":    (*caseRun).checkNothingQueued,
	"blocked":    (*caseRun).awaitSleep,
	"settled":    (*caseRun).awaitSleep,
	"limit":      (*caseRun).limitFDs,
	"setsockopt": (*caseRun).setSocketOption,
	"shutdown":   (*caseRun).shutDownSocket,
	"nonblock":   (*caseRun).setNonblock,
	"kill":       (*caseRun).sendSignal,
}

// An act is a transcript line that the runner executes itself.
type act struct {
	scenario.Act
	line int
	side *side // the side that the line names, or side A if the line is about a file
}

// act runs one of the runner's own lines. After the last line that needs the runner's copy of a
// peer's socket, act closes that copy.
func (cr *caseRun) act(st scenario.Step) error {
	cr.note("R> " + st.Text)
	sd := cr.sides[st.Act.Role]
	err := acts[st.Act.Verb](cr, act{st.Act, st.Line, sd})
	neededLater := slices.ContainsFunc(cr.Scenario.Steps, func(later scenario.Step) bool {
		return later.Line > st.Line && needsSocket(later, sd.role)
	})
	if needsSocket(st, sd.role) && !neededLater {
		sd.socket.Drop()
	}
	var call optionalCallError
	missing := []error{unix.EPERM, unix.ENOSYS, unix.ENOPROTOOPT, unix.EOPNOTSUPP}
	switch {
	case err == nil, err == errCaseOver, err == errSessionOver, errors.Is(err, process.ErrCut):
		return err
	case errors.As(err, &call) && slices.ContainsFunc(missing, func(errno error) bool { return errors.Is(err, errno) }):
		cr.result.Verdict = scenario.Unsupported
		cr.result.Why = fmt.Sprintf("line %d: this system does not support %v", st.Line, err)
		return errCaseOver
	}
	return cr.notRun("line %d: %v", st.Line, err)
}

// needsSocket reports whether a line needs the runner's copy of the socket of this role.
func needsSocket(st scenario.Step, role scenario.Role) bool {
	return st.Act.OfSocket() && st.Act.Role == role
}

// optionalCallError is the error of a system call that some systems lack or forbid.
type optionalCallError struct {
	call string
	error
}

func (e optionalCallError) Error() string { return e.call + ": " + e.error.Error() }
func (e optionalCallError) Unwrap() error { return e.error }

func optionalCall(call string, err error) error {
	if err == nil {
		return nil
	}
	return optionalCallError{call, err}
}

// setOffset (seek NAME=OFFSET) sets the offset of a file through the runner's own copy.
func (cr *caseRun) setOffset(a act) error {
	file := cr.file(a.Name)
	if file == nil || file.Own < 0 {
		return fmt.Errorf("the runner has no copy of %q", a.Name)
	}
	if _, err := unix.Seek(file.Own, a.Value, unix.SEEK_SET); err != nil {
		return fmt.Errorf("lseek: %w", err)
	}
	if state, ok := cr.states[file]; ok {
		state.Offset = a.Value
		cr.states[file] = state
	}
	return nil
}

// checkOffset (pos ROLE NAME=OFFSET) adds a finding if the peer's descriptor is at a different
// offset.
func (cr *caseRun) checkOffset(a act) error {
	info, err := cr.fdInfo(a)
	if err == nil && info.Pos != a.Value {
		cr.findState(a, "%s is at offset %d, not %d", a.Name, info.Pos, a.Value)
	}
	return err
}

// statusFlags are the flags of an open file description that a transcript can name.
var statusFlags = map[string]int{"append": unix.O_APPEND, "nonblock": unix.O_NONBLOCK}

// checkStatusFlags (flags ROLE NAME=FLAGS) adds a finding if the peer's descriptor has different
// status flags.
func (cr *caseRun) checkStatusFlags(a act) error {
	want := 0
	for word := range strings.SplitSeq(a.Word, ",") {
		want |= statusFlags[word]
	}
	info, err := cr.fdInfo(a)
	have := info.Flags & (unix.O_APPEND | unix.O_NONBLOCK)
	if err == nil && have != want {
		cr.findState(a, "%s has the status flags %s, not %s", a.Name, flagNames(have), flagNames(want))
	}
	return err
}

// fdInfo returns what the kernel reports about a descriptor of the peer.
func (cr *caseRun) fdInfo(a act) (info procfs.FDInfo, err error) {
	fd, err := cr.descriptor(a.side, a.Name)
	if err != nil {
		return info, err
	}
	return procfs.ReadFDInfo(a.side.Pid, fd)
}

// findState adds a finding about a file whose state differs from the scenario. The finding is about
// the peer that is known to have changed the file. If none is known, it is about the peer that the
// transcript line names.
func (cr *caseRun) findState(a act, format string, args ...any) {
	if by, ok := cr.changedBy[cr.file(a.Name)]; ok {
		cr.findChange(by, a.line, format, args...)
		return
	}
	cr.find(scenario.CheckFile, a.side, a.line, format, args...)
}

// dropCopy (drop NAME) closes the runner's own copy of a file.
func (cr *caseRun) dropCopy(a act) error {
	file := cr.file(a.Name)
	if file == nil {
		return fmt.Errorf("no file %q", a.Name)
	}
	file.Drop()
	return nil
}

// checkFree (eof NAME) polls the other end of a pipe or pair until it reports that this end is no
// longer open anywhere.
func (cr *caseRun) checkFree(a act) error {
	file := cr.file(a.Name)
	if file == nil || file.Other < 0 {
		return fmt.Errorf("%q has no other end", a.Name)
	}
	held, err := awaitFree(cr.ctx, []*witness.File{file}, cr.patience())
	if err != nil || len(held) == 0 {
		return err
	}
	return cr.findHolder(file, a.line, "%s is still open somewhere")
}

// checkNothingQueued (pending ROLE) adds a finding if the peer could receive a message. End of
// file does not count as a message.
func (cr *caseRun) checkNothingQueued(a act) error {
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
		cr.find(scenario.CheckAnswer, a.side.other, a.line,
			"%s has something to receive, and nothing should have been sent", a.Role)
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
func (cr *caseRun) limitFDs(a act) error {
	sd := a.side
	if a.Word == "-" {
		sd.restoreLimit()
		return nil
	}
	open, err := procfs.OpenFDs(sd.Pid)
	if err != nil {
		return err
	}
	var old unix.Rlimit
	if err := unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		return optionalCall("prlimit", err)
	}
	if sd.ownLimit == nil {
		sd.ownLimit = &old
	}
	limit := unix.Rlimit{Cur: uint64(a.Value), Max: old.Max}
	if a.Word == "+" {
		limit.Cur = limitFor(open, int(a.Value))
	}
	return optionalCall("prlimit", unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, &limit, nil))
}

// limitFor returns the lowest limit that leaves exactly this many descriptors free. If that is none, it
// returns the lowest descriptor that is not open: opening a file would use that one.
func limitFor(open []int, free int) uint64 {
	limit := 0
	for none := free == 0; free > 0 || none && slices.Contains(open, limit); limit++ {
		if !slices.Contains(open, limit) {
			free--
		}
	}
	return uint64(limit)
}

// setSocketOption (setsockopt ROLE OPTION=VALUE) sets an option of the peer's socket.
func (cr *caseRun) setSocketOption(a act) error {
	return optionalCall("setsockopt", raw.SetOption(a.side.socket.Own, a.Name, int(a.Value)))
}

// shutDownSocket (shutdown ROLE HOW) shuts the peer's socket down from outside.
func (cr *caseRun) shutDownSocket(a act) error {
	return optionalCall("shutdown", unix.Shutdown(a.side.socket.Own, raw.Shutdowns.Sum(a.Word)))
}

// setNonblock (nonblock ROLE) sets O_NONBLOCK on the open file description of the peer's socket.
func (cr *caseRun) setNonblock(a act) error {
	return optionalCall("fcntl", unix.SetNonblock(a.side.socket.Own, true))
}

// awaitSleep (blocked ROLE) waits until the peer is blocked. The peer is blocked if it has read its
// command but not answered it, and all its threads are asleep. The transcript line "settled ROLE" also
// accepts a peer that has answered, and a peer that is still awake at the time limit because it
// retries its call instead of blocking.
func (cr *caseRun) awaitSleep(a act) error {
	sd := a.side
	if !sd.pending {
		return fmt.Errorf("%s has no command to answer", sd.Peer.Name)
	}
	for deadline := time.Now().Add(cr.timeout); ; time.Sleep(time.Millisecond) {
		late := time.Now().After(deadline) // before it is asked: the runner may be stopped in between
		idle, err := sd.IsIdle()
		answered := sd.Answered() // asked once, and last: it may answer at any time, and may have done so before it slept
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return fmt.Errorf("cannot see whether %s is awake: %w", sd.Peer.Name, err)
		case err != nil:
			return nil // the step that expects an answer reports that the peer has ended
		case answered && a.Verb == "settled":
			return nil
		case answered:
			if next, closes := cr.otherCloses(sd, a.line); closes {
				return cr.takeAnswer(cr.readAnswer(sd.other, next))
			}
			cr.find(scenario.CheckAnswer, sd, a.line, "it does not wait")
			return errSessionOver
		case idle:
			return nil
		case cr.ctx.Err() != nil:
			sd.Kill()
			return process.ErrCut
		case late && a.Verb == "settled":
			return nil
		case late:
			return fmt.Errorf("%s is awake", sd.Peer.Name)
		}
	}
}

// sendSignal (kill ROLE SIGNAL) sends a signal to the thread that waits in a call on the case's
// socket, if the kernel shows which one that is, or else to the process.
func (cr *caseRun) sendSignal(a act) error {
	sd := a.side
	signal := unix.SignalNum(a.Word)
	if err := unix.Tgkill(sd.Pid, witness.Waiter(sd.Pid, sd.socket.FD), signal); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if signal == unix.SIGCONT {
		sd.signals = slices.DeleteFunc(sd.signals, func(s syscall.Signal) bool { return s == unix.SIGSTOP })
	}
	sd.signals = append(sd.signals, signal)
	switch signal {
	case unix.SIGSTOP:
		return cr.awaitStop(sd)
	case unix.SIGKILL:
		return cr.awaitDeath(sd, a.line)
	}
	return nil
}

// awaitStop waits until all threads of a peer have stopped. A thread stops only after it has left
// its system call.
func (cr *caseRun) awaitStop(sd *side) error {
	for deadline := time.Now().Add(cr.timeout); ; time.Sleep(time.Millisecond) {
		late := time.Now().After(deadline)
		stopped, err := witness.Stopped(sd.Pid)
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return fmt.Errorf("cannot see whether %s has stopped: %w", sd.Peer.Name, err)
		case err != nil, stopped:
			return nil // if the peer has ended, the step that expects an answer reports it
		case cr.ctx.Err() != nil:
			sd.Kill()
			return process.ErrCut
		case late:
			return fmt.Errorf("%s does not stop", sd.Peer.Name)
		}
	}
}

// awaitDeath waits until a peer that was sent SIGKILL has ended. If another process traces the
// peer, the kernel does not report the peer's exit until the tracer has waited for the peer.
func (cr *caseRun) awaitDeath(sd *side, line int) error {
	select {
	case <-sd.Gone:
	case <-cr.ctx.Done():
		sd.Kill()
		return process.ErrCut
	case <-time.After(cr.timeout):
		return cr.noAnswer(sd, line, fmt.Errorf("it does not end after SIGKILL: %w", process.ErrHang))
	}
	sd.pending = false
	sd.killed = true
	cr.spent = true
	return nil
}
