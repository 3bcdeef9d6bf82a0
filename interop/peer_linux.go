package interop

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A peerProcess is one of the two processes of a session. It runs many cases, in either role.
type peerProcess struct {
	*process.Process
	tracked      map[int]trackedFD // the descriptors above 2 that the peer should have open
	spare        map[int]bool      // those of them that belong to a later case: no "use" has named them yet
	standard     map[int]bool      // which of 0, 1 and 2 it had open when it answered hello
	leakedPidfds map[int]bool      // the sender's pidfds that it has leaked
}

// A trackedFD identifies the file that one of the peer's descriptors must refer to until a
// command closes that descriptor.
type trackedFD struct {
	procfs.FileID
	known bool          // false if the runner could not look at the descriptor
	file  *witness.File // the file of the case whose open file description it is, or nil
}

func newPeerProcess(proc *process.Process) *peerProcess {
	return &peerProcess{
		Process:      proc,
		tracked:      map[int]trackedFD{},
		spare:        map[int]bool{},
		standard:     map[int]bool{},
		leakedPidfds: map[int]bool{},
	}
}

// tracks reports whether the peer should have the descriptor open.
func (p *peerProcess) tracks(fd int) bool {
	_, ok := p.tracked[fd]
	return ok
}

// greet sends hello, and records which descriptors the peer has open afterwards.
func (p *peerProcess) greet(ctx context.Context, timeout time.Duration) error {
	for _, fd := range p.FDs {
		p.tracked[fd] = trackedFD{}
		p.spare[fd] = true
	}
	hello, err := p.Greet(ctx, timeout)
	if err == nil && !hello.Same(p.Peer.Hello) {
		err = errors.New("its answer to hello is not the one that it gave before")
	}
	for fd := range 3 {
		_, e := procfs.Identify(p.Pid, fd)
		p.standard[fd] = e == nil || witness.MayNotInspect(p.Pid, e)
	}
	return err
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
	if !t.known {
		return true
	}
	if same, err := t.refersTo(pid, fd); err == nil {
		return same
	}
	// Without kcmp(2), compare only the files and not the open file descriptions.
	id, err := procfs.Identify(pid, fd)
	return err != nil || id == t.FileID // on an error, the runner cannot look or it has been closed since
}
