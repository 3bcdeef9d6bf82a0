package interop

import (
	"fmt"
	"os"
	"time"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// blocked ROLE waits until the peer waits: it has read its command, has not
// answered, and all its threads sleep.
func (p *play) verbBlocked(st scenario.Step, words []string) error {
	role := scenario.Role(words[0][0])
	sd := p.sides[role]
	if sd.Pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process", p.k.c.Peer(role).Name)
	}
	_, answered := p.early[role]
	deadline := time.Now().Add(p.timeout)
	for {
		late := time.Now().After(deadline) // before it is asked: the runner may be stopped in between
		read, err := sd.HasRead()
		if err != nil {
			return p.notRun("line %d: %v", st.Line, err)
		}
		asleep := false
		if read {
			asleep, err = witness.Sleeps(sd.Pid)
			switch {
			case witness.CannotLook(sd.Pid, err):
				return p.notRun("line %d: nobody can tell whether %s is awake: %v", st.Line, p.k.c.Peer(role).Name, err)
			case err != nil:
				return nil // a peer that is gone is found by its answer
			}
		}
		switch {
		case len(sd.Answers) > 0 || answered:
			p.find(scenario.CheckAnswer, role, st.Line, "it does not wait")
			return errSessionOver
		case asleep:
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
func (p *play) verbKill(st scenario.Step, words []string) error {
	role := scenario.Role(words[0][0])
	sd := p.sides[role]
	if sd.Pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process", p.k.c.Peer(role).Name)
	}
	signal, err := raw.FindSignal(words[1])
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	if err := unix.Tgkill(sd.Pid, witness.Waiter(sd.Pid, p.k.sock[role]), signal); err != nil {
		return p.notRun("line %d: kill: %v", st.Line, err)
	}
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
func (p *play) verbUnreported(st scenario.Step, words []string) error {
	role := scenario.Role(words[0][0])
	f := p.file(words[1])
	if f == nil {
		return p.notRun("line %d: no file %q", st.Line, words[1])
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
		p.find(scenario.CheckLeak, role, st.Line, "%s is open %d times without that it was told, not once", words[1], len(found))
		return errAbort
	}
	sd.live[found[0]] = kept{file: f, Identity: f.Identity, known: true}
	p.bound[role][words[1]] = found[0]
	return nil
}
