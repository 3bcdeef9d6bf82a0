package interop

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A peerProcess is one of the two processes of a session. It runs many cases, in either role.
type peerProcess struct {
	*process.Process
	tracked map[int]trackedFD // what the descriptors that the peer was started with, or has reported, referred to then
	later   map[int]bool      // those of them that belong to a later case: no "use" has named them yet
	known   *judge.Process
}

// A trackedFD identifies the file that one of the peer's descriptors must refer to until a
// command closes that descriptor.
type trackedFD struct {
	procfs.FileID
	file *witness.File // the file of the case whose open file description it is, or nil
}

func newPeerProcess(proc *process.Process) *peerProcess {
	return &peerProcess{Process: proc, tracked: map[int]trackedFD{}, later: map[int]bool{}}
}

// greet sends hello, and records which descriptors the peer has open afterwards.
func (p *peerProcess) greet(ctx context.Context, timeout time.Duration) error {
	hello, err := p.Greet(ctx, timeout)
	if err == nil && !hello.Same(p.Peer.Hello) {
		err = errors.New("its answer to hello is not the one that it gave before")
	}
	var standard []int
	for fd := range 3 {
		if _, e := procfs.Identify(p.Pid, fd); e == nil || witness.MayNotInspect(p.Pid, e) {
			standard = append(standard, fd)
		}
	}
	p.known = judge.NewProcess(p.FDs, standard...)
	return err
}

// giveFD takes note of a descriptor that the peer was started with.
func (p *peerProcess) giveFD(fd int, file *witness.File) {
	file.FD = fd
	p.tracked[fd] = trackedFD{file.FileID, file}
	p.later[fd] = true
}

// untrack forgets the descriptors that a command tells the peer to close.
func (p *peerProcess) untrack(command string) {
	line, _ := contract.ParseLine(command) // the runner has made it
	switch line.Verb {
	case "end":
		for fd := range p.tracked {
			if !p.later[fd] {
				delete(p.tracked, fd)
			}
		}
	case "close":
		for _, item := range line.List("fds") {
			fd, _ := strconv.Atoi(item)
			delete(p.tracked, fd)
		}
	}
}

// refersTo reports whether the descriptor of a process still refers to the file. It calls
// kcmp(2) directly because each case checks hundreds of descriptors. Identify would be slower,
// because it looks up a name in /proc.
func (t trackedFD) refersTo(pid, fd int) (bool, error) {
	if t.file == nil || t.file.Own < 0 {
		return false, unix.EBADF
	}
	return procfs.Kcmp(os.Getpid(), t.file.Own, pid, fd)
}

// isUnchanged reports whether the descriptor of a process still refers to the file that it
// should refer to.
func (t trackedFD) isUnchanged(pid, fd int) bool {
	if same, err := t.refersTo(pid, fd); err == nil {
		return same
	}
	// Without kcmp(2), compare only the files and not the open file descriptions.
	id, err := procfs.Identify(pid, fd)
	return err != nil || id == t.FileID // on an error, the runner cannot look or it has been closed since
}
