package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// verbs play the lines of scenario.ActForms.
var verbs = map[string]func(*play, scenario.Step) error{
	"seek":       (*play).verbSeek,
	"pos":        (*play).verbPos,
	"flags":      (*play).verbFlags,
	"drop":       (*play).verbDrop,
	"eof":        (*play).verbEOF,
	"pending":    (*play).verbPending,
	"blocked":    (*play).verbBlocked,
	"unreported": (*play).verbUnreported,
	"limit":      (*play).verbLimit,
	"setsockopt": (*play).verbSetsockopt,
	"shutdown":   (*play).verbShutdown,
	"nonblock":   (*play).verbNonblock,
	"kill":       (*play).verbKill,
}

// runnerStep plays a line of the runner's own.
func (p *play) runnerStep(st scenario.Step) error {
	verb, ok := verbs[st.Act.Verb]
	if !ok {
		return p.notRun("line %d: the runner cannot %q", st.Line, st.Act.Verb)
	}
	return verb(p, st)
}

// notRun ends a case that the runner could not play. The session ends too if that is
// because a peer keeps something locked: the lock goes with its process.
func (p *play) notRun(format string, args ...any) error {
	p.result.Verdict = scenario.NotRun
	p.result.Why = fmt.Sprintf(format, args...)
	for _, arg := range args {
		if err, ok := arg.(error); ok && errors.Is(err, witness.ErrLocked) {
			p.spent = true
			return errSessionOver
		}
	}
	return errAbort
}

// failed ends a case in which a system call of the runner's own failed: without a
// verdict where this system does not have it, or does not allow it.
func (p *play) failed(st scenario.Step, call string, err error) error {
	for _, errno := range []error{unix.EPERM, unix.ENOSYS, unix.ENOPROTOOPT, unix.EOPNOTSUPP} {
		if errors.Is(err, errno) {
			p.result.Verdict = scenario.Unsupported
			p.result.Why = fmt.Sprintf("line %d: this system does not %s: %v", st.Line, call, err)
			return errAbort
		}
	}
	return p.notRun("line %d: %s: %v", st.Line, call, err)
}

// seek NAME=OFFSET sets the offset of a file by the runner's own copy.
func (p *play) verbSeek(st scenario.Step) error {
	f := p.file(st.Act.Name)
	if f == nil || f.Own < 0 {
		return p.notRun("line %d: nobody here has %q", st.Line, st.Act.Name)
	}
	_, err := witness.InTime(func() (int64, error) { return unix.Seek(f.Own, st.Act.Number, unix.SEEK_SET) })
	if err != nil {
		return p.notRun("line %d: lseek: %v", st.Line, err)
	}
	if was, ok := p.states[f]; ok {
		was.Offset = st.Act.Number
		p.states[f] = was
	}
	return nil
}

// pos ROLE NAME=OFFSET wants a number of the peer's to be at the offset.
func (p *play) verbPos(st scenario.Step) error {
	role, name, offset := st.Act.Role, st.Act.Name, st.Act.Number
	info, err := p.info(role, name)
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	if info.Pos != offset {
		p.findState(role, st.Line, name, "%s is at offset %d, not %d", name, info.Pos, offset)
	}
	return nil
}

// statusFlags are those that travel with an open file description.
var statusFlags = map[string]int{"append": unix.O_APPEND, "nonblock": unix.O_NONBLOCK}

// flags ROLE NAME=FLAGS wants a number of the peer's to have these status flags.
func (p *play) verbFlags(st scenario.Step) error {
	role, name, value := st.Act.Role, st.Act.Name, st.Act.Word
	want := 0
	for _, w := range strings.Split(value, ",") {
		want |= statusFlags[w]
	}
	info, err := p.info(role, name)
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	if have := info.Flags & (unix.O_APPEND | unix.O_NONBLOCK); have != want {
		p.findState(role, st.Line, name, "%s has the status flags %#o, not %s", name, have, value)
	}
	return nil
}

// info is what the kernel tells of a number of the peer's.
func (p *play) info(role scenario.Role, name string) (info witness.Info, err error) {
	n, err := p.lookup(role, name)
	if err != nil {
		return info, err
	}
	return witness.FDInfo(p.sides[role].Thread(), n)
}

// findState finds that a file is not as the scenario has it, at whoever was found to have
// changed it, if anybody was.
func (p *play) findState(role scenario.Role, line int, name, format string, args ...any) {
	if f := p.file(name); f != nil {
		if by, ok := p.changed[f]; ok {
			p.findChange(by, line, format, args...)
			return
		}
	}
	p.find(scenario.CheckFile, role, line, format, args...)
}

// drop NAME closes the runner's own copy of a file.
func (p *play) verbDrop(st scenario.Step) error {
	f := p.file(st.Act.Name)
	if f == nil {
		return p.notRun("line %d: no file %q", st.Line, st.Act.Name)
	}
	f.Drop()
	return nil
}

// eof NAME wants the other end of a pipe or pair to come to its end, which it
// does when nobody holds this one any more.
func (p *play) verbEOF(st scenario.Step) error {
	f := p.file(st.Act.Name)
	if f == nil || f.Other < 0 {
		return p.notRun("line %d: %q has no other end", st.Line, st.Act.Name)
	}
	held, err := awaitFree(p.ctx, []*witness.File{f}, p.patience())
	switch {
	case errors.Is(err, process.ErrCut):
		return process.ErrCut
	case err != nil:
		return p.notRun("line %d: %v", st.Line, err)
	case len(held) > 0:
		return p.reportHolder(f, st.Line, "%s is still open somewhere")
	}
	return nil
}

const nudgeEvery = 50 * time.Millisecond

// nudge makes the kernel look for sockets that lie in each other's queues and
// nowhere else. It does so when a socket is closed, but not for one that is closed
// while it looks: that one stays until somebody closes another.
func nudge() error {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = raw.Send(two[0], [][]byte{{0}}, two[1:], unix.MSG_DONTWAIT)
	// On some kernels the closing thread frees what lies in the queues: files of a peer's.
	witness.CloseNumber(&two[0])
	witness.CloseNumber(&two[1])
	return err
}

// pending ROLE wants nothing to wait at the peer's socket but the end.
func (p *play) verbPending(st scenario.Step) error {
	role := st.Act.Role
	sock := p.k.socks[role]
	defer p.dropSock(role, st)
	fds := []unix.PollFd{{Fd: int32(sock), Events: unix.POLLIN | unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	if err != nil {
		return p.notRun("line %d: poll: %v", st.Line, err)
	}
	if n != 0 && !onlyEnd(sock, fds[0].Revents) {
		other := scenario.RoleA
		if role == scenario.RoleA {
			other = scenario.RoleB
		}
		p.find(scenario.CheckAnswer, other, st.Line, "something waits at %s, and nothing should have been sent", role)
	}
	return nil
}

// onlyEnd tells whether the end is all that waits at a socket, of which poll tells events.
// An empty packet without descriptors looks like the end, and is taken for it.
func onlyEnd(sock int, events int16) bool {
	if events&unix.POLLRDHUP == 0 {
		return false
	}
	if n, err := unix.IoctlGetInt(sock, unix.SIOCINQ); err != nil || n > 0 {
		return false
	}
	kind, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind == unix.SOCK_STREAM {
		return err == nil // a stream has no empty message
	}
	if events&unix.POLLERR != 0 {
		return true // a receive would take the error away from the peer
	}
	_, _, flags, err := raw.Recv(sock, [][]byte{{0}}, 0, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != nil || flags&unix.MSG_CTRUNC == 0
}

// needsSock tells whether a line is about a peer's socket, of which the runner
// then keeps a copy until the last such line.
func needsSock(st scenario.Step, role scenario.Role) bool {
	return st.Act.OfSocket() && st.Act.Role == role
}

// dropSock drops the runner's copy after the last line that needs it.
func (p *play) dropSock(role scenario.Role, now scenario.Step) {
	for _, st := range p.k.c.Scenario.Steps {
		if st.Line > now.Line && needsSock(st, role) {
			return
		}
	}
	p.k.dropSock(role)
}

// limit ROLE nofile=+K leaves the peer K free numbers below its limit, nofile=K
// makes K the limit, nofile=- gives it its own limit back.
func (p *play) verbLimit(st scenario.Step) error {
	role := st.Act.Role
	sd := p.sides[role]
	if sd.Pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process, whose limit stays", p.k.c.Peer(role).Name)
	}
	if st.Act.Word == "-" {
		p.restoreLimit(sd)
		return nil
	}
	numbers, err := witness.OpenNumbers(sd.Thread())
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	var old unix.Rlimit
	if err := unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		return p.failed(st, "prlimit", err)
	}
	if _, ok := p.limits[sd]; !ok {
		p.limits[sd] = old
	}
	limit := unix.Rlimit{Cur: uint64(st.Act.Number), Max: old.Max}
	if st.Act.Word == "+" {
		limit.Cur = limitFor(numbers, int(st.Act.Number))
	}
	if err := unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		return p.failed(st, "prlimit", err)
	}
	return nil
}

// restoreLimit gives a peer back what verbLimit took, if it did.
func (p *play) restoreLimit(sd *side) {
	if old, ok := p.limits[sd]; ok {
		_ = unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, &old, nil) // fails only for a peer that is gone
		delete(p.limits, sd)
	}
}

// limitFor is the lowest limit below which exactly free numbers are free.
func limitFor(numbers []int, free int) uint64 {
	slices.Sort(numbers)
	limit := 0
	for _, n := range numbers {
		gap := n - limit
		if gap > free || gap > 0 && gap == free {
			break
		}
		free -= gap
		limit = n + 1
	}
	return uint64(limit + free)
}

// setsockopt ROLE OPTION=VALUE sets an option of the peer's socket.
func (p *play) verbSetsockopt(st scenario.Step) error {
	role := st.Act.Role
	option, err := raw.FindOption(st.Act.Name)
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	defer p.dropSock(role, st)
	sock := p.k.socks[role]
	_, err = witness.InTime(func() (struct{}, error) { return struct{}{}, option.Set(sock, int(st.Act.Number)) })
	if err != nil {
		return p.failed(st, "setsockopt", err)
	}
	return nil
}

// shutdown ROLE HOW shuts the peer's socket down, from outside.
func (p *play) verbShutdown(st scenario.Step) error {
	role := st.Act.Role
	how, ok := raw.Shutdowns[st.Act.Word]
	if !ok {
		return p.notRun("line %d: shutdown %s", st.Line, st.Act.Word)
	}
	defer p.dropSock(role, st)
	if err := unix.Shutdown(p.k.socks[role], how); err != nil {
		return p.failed(st, "shutdown", err)
	}
	return nil
}

// nonblock ROLE sets O_NONBLOCK on the open file description of the peer's socket.
func (p *play) verbNonblock(st scenario.Step) error {
	role := st.Act.Role
	defer p.dropSock(role, st)
	if err := unix.SetNonblock(p.k.socks[role], true); err != nil {
		return p.failed(st, "fcntl", err)
	}
	return nil
}

// blocked ROLE waits until the peer waits: it has read its command, has not
// answered, and all its threads sleep.
func (p *play) verbBlocked(st scenario.Step) error {
	role := st.Act.Role
	sd := p.sides[role]
	if sd.Pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process", p.k.c.Peer(role).Name)
	}
	if _, asked := p.asked[role]; !asked {
		return p.notRun("line %d: %s was asked nothing", st.Line, p.k.c.Peer(role).Name)
	}
	_, answered := p.early[role]
	deadline := time.Now().Add(p.timeout)
	for {
		late := time.Now().After(deadline) // before it is asked: the runner may be stopped in between
		idle, err := sd.IsIdle()
		switch {
		case witness.CannotLook(sd.Pid, err), errors.Is(err, witness.ErrLocked):
			return p.notRun("line %d: nobody can tell whether %s is awake: %v", st.Line, p.k.c.Peer(role).Name, err)
		case err != nil:
			return nil // a peer that is gone is found by its answer
		}
		switch {
		case len(sd.Answers) > 0 || answered:
			p.find(scenario.CheckAnswer, role, st.Line, "it does not wait")
			return errSessionOver
		case idle:
			return nil
		case p.ctx.Err() != nil:
			sd.Kill()
			return process.ErrCut
		case late:
			return p.notRun("line %d: %s is awake", st.Line, p.k.c.Peer(role).Name)
		}
		time.Sleep(time.Millisecond)
	}
}

// kill ROLE SIGNAL sends a signal to the thread that waits in a call on the case's
// socket, if the kernel tells which that is, or to the process.
func (p *play) verbKill(st scenario.Step) error {
	role := st.Act.Role
	sd := p.sides[role]
	if sd.Pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process", p.k.c.Peer(role).Name)
	}
	signal, err := raw.FindSignal(st.Act.Word)
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	if err := unix.Tgkill(sd.Pid, witness.Waiter(sd.Pid, p.k.sock[role]), signal); err != nil {
		return p.notRun("line %d: kill: %v", st.Line, err)
	}
	if signal == unix.SIGCONT {
		p.signals[role] = slices.DeleteFunc(p.signals[role], func(s syscall.Signal) bool { return s == unix.SIGSTOP })
	}
	p.signals[role] = append(p.signals[role], signal)
	if signal == unix.SIGKILL {
		// The kernel does not report the end of a peer that another process traces before
		// the tracer has waited for it.
		timer := time.NewTimer(p.timeout)
		defer timer.Stop()
		select {
		case <-sd.Gone:
		case <-p.ctx.Done():
			sd.Kill()
			return process.ErrCut
		case <-timer.C:
			return p.silent(role, st.Line, fmt.Errorf("it does not end after SIGKILL: %w", process.ErrHang))
		}
		delete(p.asked, role)
		p.dead[role], p.spent = true, true
	}
	return nil
}

// unreported ROLE NAME wants one number of the peer's to be the file, without
// that it was told: the kernel has installed it where nobody can see it. It is
// called NAME from there on.
func (p *play) verbUnreported(st scenario.Step) error {
	role := st.Act.Role
	f := p.file(st.Act.Name)
	if f == nil {
		return p.notRun("line %d: no file %q", st.Line, st.Act.Name)
	}
	sd := p.sides[role]
	numbers, err := witness.OpenNumbers(sd.Thread())
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	var found []int
	for _, n := range numbers {
		if sd.std[n] || sd.has(n) {
			continue
		}
		if holds, _, err := p.witness.Holds(f, p.sides[f.Owner].Thread(), sd.Thread(), n); err == nil && holds {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		p.find(scenario.CheckLeak, role, st.Line, "%s is open %d times without that it was told, not once", st.Act.Name, len(found))
		return errAbort
	}
	sd.live[found[0]] = tracked{file: f, Identity: f.Identity, known: true}
	p.bound[role][st.Act.Name] = found[0]
	return nil
}
