package interop

import (
	"errors"
	"fmt"
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

// An act is a line of the runner's own.
type act struct {
	scenario.Act
	line int
}

// verbs play the lines of scenario.ActForms. An error that is none of those that end a case
// or a session says why the case could not be played.
var verbs = map[string]func(*play, act) error{
	"seek":       (*play).seek,
	"pos":        (*play).pos,
	"flags":      (*play).flags,
	"drop":       (*play).drop,
	"eof":        (*play).eof,
	"pending":    (*play).pending,
	"blocked":    (*play).blocked,
	"settled":    (*play).blocked,
	"unreported": (*play).unreported,
	"limit":      (*play).limit,
	"setsockopt": (*play).setsockopt,
	"shutdown":   (*play).shutdown,
	"nonblock":   (*play).nonblock,
	"kill":       (*play).kill,
}

// runnerStep plays a line of the runner's own. The runner's copy of a peer's socket is dropped
// after the last line that needs it.
func (p *play) runnerStep(st scenario.Step) error {
	err := verbs[st.Act.Verb](p, act{st.Act, st.Line})
	role := st.Act.Role
	last := !slices.ContainsFunc(p.k.c.Scenario.Steps, func(later scenario.Step) bool {
		return later.Line > st.Line && needsSock(later, role)
	})
	if needsSock(st, role) && last {
		p.k.end(role).Drop()
	}
	var call refusable
	lacks := func(errno error) bool { return errors.Is(err, errno) }
	switch {
	case err == nil, err == errAbort, err == errSessionOver, errors.Is(err, process.ErrCut):
		return err
	case errors.As(err, &call) && slices.ContainsFunc([]error{unix.EPERM, unix.ENOSYS, unix.ENOPROTOOPT, unix.EOPNOTSUPP}, lacks):
		p.result.Verdict = scenario.Unsupported
		p.result.Why = fmt.Sprintf("line %d: this system does not %v", st.Line, err)
		return errAbort
	}
	return p.notRun("line %d: %v", st.Line, err)
}

// refusable is the error of a system call that some systems do not have, or do not allow.
type refusable struct {
	call string
	error
}

func (r refusable) Error() string { return r.call + ": " + r.error.Error() }
func (r refusable) Unwrap() error { return r.error }

func refused(call string, err error) error {
	if err == nil {
		return nil
	}
	return refusable{call, err}
}

// notRun ends a case that the runner could not play.
func (p *play) notRun(format string, args ...any) error {
	p.result.Verdict = scenario.NotRun
	p.result.Why = fmt.Sprintf(format, args...)
	return errAbort
}

// needsSock tells whether a line is about a peer's socket, of which the runner
// then keeps a copy until the last such line.
func needsSock(st scenario.Step, role scenario.Role) bool {
	return st.Act.OfSocket() && st.Act.Role == role
}

// seek NAME=OFFSET sets the offset of a file by the runner's own copy.
func (p *play) seek(a act) error {
	f := p.file(a.Name)
	if f == nil || f.Own < 0 {
		return fmt.Errorf("nobody here has %q", a.Name)
	}
	if _, err := unix.Seek(f.Own, a.Number, unix.SEEK_SET); err != nil {
		return fmt.Errorf("lseek: %w", err)
	}
	if was, ok := p.states[f]; ok {
		was.Offset = a.Number
		p.states[f] = was
	}
	return nil
}

// pos ROLE NAME=OFFSET wants a number of the peer's to be at the offset.
func (p *play) pos(a act) error {
	info, err := p.info(a)
	if err == nil && info.Pos != a.Number {
		p.findState(a, "%s is at offset %d, not %d", a.Name, info.Pos, a.Number)
	}
	return err
}

// statusFlags are those that travel with an open file description.
var statusFlags = map[string]int{"append": unix.O_APPEND, "nonblock": unix.O_NONBLOCK}

// flags ROLE NAME=FLAGS wants a number of the peer's to have these status flags.
func (p *play) flags(a act) error {
	want := 0
	for w := range strings.SplitSeq(a.Word, ",") {
		want |= statusFlags[w]
	}
	info, err := p.info(a)
	if have := info.Flags & (unix.O_APPEND | unix.O_NONBLOCK); err == nil && have != want {
		p.findState(a, "%s has the status flags %s, not %s", a.Name, flagNames(have), flagNames(want))
	}
	return err
}

// info returns what the kernel says of a descriptor of the peer.
func (p *play) info(a act) (info witness.Info, err error) {
	n, err := p.lookup(a.Role, a.Name)
	if err != nil {
		return info, err
	}
	return witness.FDInfo(p.sides[a.Role].Pid, n)
}

// findState finds that a file is not as the scenario has it, at whoever was found to have
// changed it, if anybody was.
func (p *play) findState(a act, format string, args ...any) {
	if by, ok := p.changed[p.file(a.Name)]; ok {
		p.findChange(by, a.line, format, args...)
		return
	}
	p.find(scenario.CheckFile, a.Role, a.line, format, args...)
}

// drop NAME closes the runner's own copy of a file.
func (p *play) drop(a act) error {
	f := p.file(a.Name)
	if f == nil {
		return fmt.Errorf("no file %q", a.Name)
	}
	f.Drop()
	return nil
}

// eof NAME wants the other end of a pipe or pair to come to its end, which it
// does when nobody holds this one any more.
func (p *play) eof(a act) error {
	f := p.file(a.Name)
	if f == nil || f.Other < 0 {
		return fmt.Errorf("%q has no other end", a.Name)
	}
	held, err := awaitFree(p.ctx, []*witness.File{f}, p.patience())
	if err != nil || len(held) == 0 {
		return err
	}
	return p.reportHolder(f, a.line, "%s is still open somewhere")
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
	return errors.Join(err, unix.Close(two[0]), unix.Close(two[1]))
}

// pending ROLE wants nothing to wait at the peer's socket but the end.
func (p *play) pending(a act) error {
	sock := p.k.end(a.Role).Own
	fds := []unix.PollFd{{Fd: int32(sock), Events: unix.POLLIN | unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if n != 0 && !onlyEnd(sock, fds[0].Revents) {
		other := opposite(a.Role)
		p.find(scenario.CheckAnswer, other, a.line, "something waits at %s, and nothing should have been sent", a.Role)
	}
	return nil
}

// onlyEnd tells whether the end is all that waits at a socket, of which poll tells events.
// An empty packet without descriptors looks like the end, and is taken for it.
func onlyEnd(sock int, events int16) bool {
	if n, err := unix.IoctlGetInt(sock, unix.SIOCINQ); events&unix.POLLRDHUP == 0 || err != nil || n > 0 {
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

// limit ROLE nofile=+K leaves the peer K free numbers below its limit, nofile=K
// makes K the limit, nofile=- gives it its own limit back.
func (p *play) limit(a act) error {
	sd := p.sides[a.Role]
	if a.Word == "-" {
		p.restoreLimit(sd)
		return nil
	}
	numbers, err := witness.OpenNumbers(sd.Pid)
	if err != nil {
		return err
	}
	var old unix.Rlimit
	if err := unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		return refused("prlimit", err)
	}
	if _, ok := p.limits[sd]; !ok {
		p.limits[sd] = old
	}
	limit := unix.Rlimit{Cur: uint64(a.Number), Max: old.Max}
	if a.Word == "+" {
		limit.Cur = limitFor(numbers, int(a.Number))
	}
	return refused("prlimit", unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, &limit, nil))
}

// restoreLimit gives a peer back what limit took, if it did.
func (p *play) restoreLimit(sd *side) {
	if old, ok := p.limits[sd]; ok {
		_ = unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, &old, nil) // fails only for a peer that is gone
		delete(p.limits, sd)
	}
}

// limitFor is the lowest limit below which exactly free numbers are free.
func limitFor(numbers []int, free int) uint64 {
	limit := 0
	for none := free == 0; free > 0 || none && slices.Contains(numbers, limit); limit++ {
		if !slices.Contains(numbers, limit) {
			free--
		}
	}
	return uint64(limit)
}

// setsockopt ROLE OPTION=VALUE sets an option of the peer's socket.
func (p *play) setsockopt(a act) error {
	return refused("setsockopt", raw.SetOption(p.k.end(a.Role).Own, a.Name, int(a.Number)))
}

// shutdown ROLE HOW shuts the peer's socket down, from outside.
func (p *play) shutdown(a act) error {
	return refused("shutdown", unix.Shutdown(p.k.end(a.Role).Own, raw.Shutdowns.Sum(a.Word)))
}

// nonblock ROLE sets O_NONBLOCK on the open file description of the peer's socket.
func (p *play) nonblock(a act) error {
	return refused("fcntl", unix.SetNonblock(p.k.end(a.Role).Own, true))
}

// blocked ROLE waits until the peer waits: it has read its command, has not
// answered, and all its threads sleep. For settled ROLE it may also have answered, and
// one that neither answers nor sleeps tries again and again.
func (p *play) blocked(a act) error {
	sd := p.sides[a.Role]
	name := p.k.c.Peer(a.Role).Name
	if _, asked := p.asked[a.Role]; !asked {
		return fmt.Errorf("%s was asked nothing", name)
	}
	deadline := time.Now().Add(p.timeout)
	for {
		late := time.Now().After(deadline) // before it is asked: the runner may be stopped in between
		idle, err := sd.IsIdle()
		switch {
		case witness.CannotLook(sd.Pid, err):
			return fmt.Errorf("nobody can tell whether %s is awake: %w", name, err)
		case err != nil:
			return nil // a peer that is gone is found by its answer
		case sd.Answered() && a.Verb == "settled":
			return nil
		case sd.Answered():
			p.find(scenario.CheckAnswer, a.Role, a.line, "it does not wait")
			return errSessionOver
		case idle:
			return nil
		case p.ctx.Err() != nil:
			sd.Kill()
			return process.ErrCut
		case late && a.Verb == "settled":
			return nil
		case late:
			return fmt.Errorf("%s is awake", name)
		}
		time.Sleep(time.Millisecond)
	}
}

// kill ROLE SIGNAL sends a signal to the thread that waits in a call on the case's
// socket, if the kernel tells which that is, or to the process.
func (p *play) kill(a act) error {
	sd := p.sides[a.Role]
	signal := unix.SignalNum(a.Word)
	if err := unix.Tgkill(sd.Pid, witness.Waiter(sd.Pid, p.k.end(a.Role).Number), signal); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if signal == unix.SIGCONT {
		p.signals[a.Role] = slices.DeleteFunc(p.signals[a.Role], func(s syscall.Signal) bool { return s == unix.SIGSTOP })
	}
	p.signals[a.Role] = append(p.signals[a.Role], signal)
	switch signal {
	case unix.SIGSTOP:
		return p.awaitStop(a.Role)
	case unix.SIGKILL:
	default:
		return nil
	}
	// The kernel does not report the end of a peer that another process traces before
	// the tracer has waited for it.
	select {
	case <-sd.Gone:
	case <-p.ctx.Done():
		sd.Kill()
		return process.ErrCut
	case <-time.After(p.timeout):
		return p.silent(a.Role, a.line, fmt.Errorf("it does not end after SIGKILL: %w", process.ErrHang))
	}
	delete(p.asked, a.Role)
	p.dead[a.Role], p.spent = true, true
	return nil
}

// awaitStop waits until all threads of a peer have stopped, which none does inside a call.
func (p *play) awaitStop(role scenario.Role) error {
	sd := p.sides[role]
	name := p.k.c.Peer(role).Name
	for deadline := time.Now().Add(p.timeout); ; time.Sleep(time.Millisecond) {
		late := time.Now().After(deadline)
		stopped, err := witness.Stopped(sd.Pid)
		switch {
		case witness.CannotLook(sd.Pid, err):
			return fmt.Errorf("nobody can tell whether %s has stopped: %w", name, err)
		case err != nil, stopped:
			return nil // a peer that is gone is found by its answer
		case p.ctx.Err() != nil:
			sd.Kill()
			return process.ErrCut
		case late:
			return fmt.Errorf("%s does not stop", name)
		}
	}
}

// unreported ROLE NAME wants one number of the peer's to be the file, without
// that it was told: the kernel has installed it where nobody can see it. It is
// called NAME from there on.
func (p *play) unreported(a act) error {
	f := p.file(a.Name)
	if f == nil {
		return fmt.Errorf("no file %q", a.Name)
	}
	sd := p.sides[a.Role]
	numbers, err := witness.OpenNumbers(sd.Pid)
	if err != nil {
		return err
	}
	var found []int
	for _, n := range numbers {
		if sd.std[n] || sd.has(n) {
			continue
		}
		if holds, _, err := p.witness.Holds(f, p.sides[f.Owner].Pid, sd.Pid, n); err == nil && holds {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		p.find(scenario.CheckLeak, a.Role, a.line, "%s is open %d times without that it was told, not once", a.Name, len(found))
		return errAbort
	}
	sd.live[found[0]] = tracked{file: f, Identity: f.Identity, known: true}
	p.bound[a.Role][a.Name] = found[0]
	return nil
}
