package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// blocked ROLE waits until the peer waits: it has read its command, has not
// answered, and all its threads sleep.
func (p *play) verbBlocked(st Step, words []string) error {
	role := Role(words[0][0])
	sd := p.sides[role]
	if sd.pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process", p.k.c.peer(role).Name)
	}
	_, answered := p.early[role]
	deadline := time.Now().Add(p.timeout)
	for {
		read, err := sd.hasRead()
		if err != nil {
			return p.notRun("line %d: %v", st.Line, err)
		}
		asleep := false
		if read {
			asleep, err = sleeps(sd.pid)
			switch {
			case cannotLook(sd.pid, err):
				return p.notRun("line %d: nobody can tell whether %s is awake: %v", st.Line, p.k.c.peer(role).Name, err)
			case err != nil:
				return nil // a peer that is gone is found by its answer
			}
		}
		switch {
		case len(sd.answers) > 0 || answered:
			p.find(CheckAnswer, role, st.Line, "it does not wait")
			return errSessionOver
		case asleep:
			return nil
		case p.ctx.Err() != nil:
			sd.kill()
			return errCut
		case time.Now().After(deadline):
			return p.notRun("line %d: %s is awake", st.Line, p.k.c.peer(role).Name)
		}
		time.Sleep(time.Millisecond)
	}
}

// hasRead tells whether nothing that was said to it is still to be read.
func (proc *process) hasRead() (bool, error) {
	f, ok := proc.in.(*os.File)
	if !ok {
		return false, errors.New("its input is no pipe")
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	n := 0
	if e := conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); e != nil {
		return false, e
	}
	return n == 0, err
}

// sleeps tells whether no thread of a process ran between two looks.
func sleeps(pid int) (bool, error) {
	first, asleep, err := switches(pid)
	if err != nil || !asleep {
		return false, err
	}
	second, asleep, err := switches(pid)
	return asleep && first == second, err
}

// switches counts how often the threads of a process have gone to sleep, and tells
// whether all do. The first may have ended, and is there until the others have.
func switches(pid int) (count int, asleep bool, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return 0, false, unix.ESRCH
	}
	asleep, ended := true, 0
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			return 0, false, nil // a thread has ended: look again
		}
		for l := range strings.Lines(string(text)) {
			words := strings.Fields(l)
			switch {
			case len(words) < 2:
			case words[0] == "State:" && words[1] == "Z":
				ended++
			case words[0] == "State:":
				asleep = asleep && words[1] == "S"
			case strings.HasSuffix(words[0], "_ctxt_switches:"):
				n, err := strconv.Atoi(words[1])
				if err != nil {
					return 0, false, err
				}
				count += n
			}
		}
	}
	if ended == len(tasks) {
		return 0, false, unix.ESRCH
	}
	return count + len(tasks), asleep, nil
}

// kill ROLE SIGNAL sends a signal to the thread that waits in a call on the case's
// socket, if the kernel tells which that is, or to the process.
func (p *play) verbKill(st Step, words []string) error {
	role := Role(words[0][0])
	sd := p.sides[role]
	if sd.pid == os.Getpid() {
		return p.notRun("%s is in the runner's own process", p.k.c.peer(role).Name)
	}
	signal, err := raw.FindSignal(words[1])
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	if err := unix.Tgkill(sd.pid, waiter(sd.pid, p.k.sock[role]), signal); err != nil {
		return p.notRun("line %d: kill: %v", st.Line, err)
	}
	if signal == unix.SIGKILL {
		// The kernel does not report the end of a peer that another process traces before
		// the tracer has waited for it.
		timer := time.NewTimer(p.timeout)
		defer timer.Stop()
		select {
		case <-sd.gone:
		case <-p.ctx.Done():
			sd.kill()
			return errCut
		case <-timer.C:
			return p.silent(role, st.Line, fmt.Errorf("it does not end after SIGKILL: %w", errHang))
		}
		delete(p.asked, role)
		p.dead[role], p.spent = true, true
	}
	return nil
}

// waiter is the thread of a process that is in a call on the socket, or the first that
// has not ended, which is the one that calls in the runner's own sides: not every kernel
// tells.
func waiter(pid, sock int) int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return firstThread(pid)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task + "/syscall")
		words := strings.Fields(string(text))
		if err != nil || len(words) < 2 {
			continue
		}
		number, err1 := strconv.Atoi(words[0])
		first, err2 := strconv.ParseUint(words[1], 0, 64)
		if err1 == nil && err2 == nil && first == uint64(sock) && messageCalls[number] {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err == nil {
				return tid
			}
		}
	}
	return firstThread(pid)
}

// messageCalls are the calls that wait for a message.
var messageCalls = map[int]bool{
	unix.SYS_RECVMSG: true, unix.SYS_RECVMMSG: true, unix.SYS_RECVFROM: true, unix.SYS_READ: true, unix.SYS_READV: true,
	unix.SYS_SENDMSG: true, unix.SYS_SENDMMSG: true, unix.SYS_SENDTO: true, unix.SYS_WRITE: true, unix.SYS_WRITEV: true,
}

// unreported ROLE NAME wants one number of the peer's to be the file, without
// that it was told: the kernel has installed it where nobody can see it. It is
// called NAME from there on.
func (p *play) verbUnreported(st Step, words []string) error {
	role := Role(words[0][0])
	f := p.file(words[1])
	if f == nil {
		return p.notRun("line %d: no file %q", st.Line, words[1])
	}
	sd := p.sides[role]
	numbers, err := openNumbers(sd.thread())
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	var found []int
	for _, n := range numbers {
		if sd.std[n] || sd.has(n) {
			continue
		}
		if holds, _, err := p.witness.holds(f, p.sides[f.Owner].thread(), sd.thread(), n); err == nil && holds {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		p.find(CheckLeak, role, st.Line, "%s is open %d times without that it was told, not once", words[1], len(found))
		return errAbort
	}
	sd.live[found[0]] = kept{file: f, identity: f.identity, known: true}
	p.bound[role][words[1]] = found[0]
	return nil
}
