package socketcmd

import (
	"errors"
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/ownthread"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { fdleak.Main(m) }

// A received file may have the descriptor that COMMAND expects another one at.
func TestMoveFiles(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the thread below must not poll
	const n = 6
	var want, got [n]uint64
	var err error
	ownthread.Run(func() {
		err = func() error {
			if err := unshareFiles(); err != nil {
				return err
			}
			const spare = 100
			var fds []int
			for i := range n {
				var p [2]int
				if err := errors.Join(unix.Pipe2(p[:], unix.O_CLOEXEC), unix.Dup3(p[0], spare+i, unix.O_CLOEXEC)); err != nil {
					return err
				}
			}
			for i := range n {
				fds = append(fds, 3+n-1-i)
				if err := unix.Dup3(spare+i, fds[i], unix.O_CLOEXEC); err != nil {
					return err
				}
				want[i] = inode(fds[i])
			}
			if err := moveFiles(fds); err != nil {
				return err
			}
			for i := range n {
				if flags, err := unix.FcntlInt(uintptr(3+i), unix.F_GETFD, 0); err != nil || flags != 0 {
					return fmt.Errorf("F_GETFD of descriptor %d: %d, %v", 3+i, flags, err)
				}
				got[i] = inode(3 + i)
			}
			return nil
		}()
	})
	if errors.Is(err, unix.EPERM) {
		t.Skip("a thread cannot have a descriptor table of its own: ", err)
	} else if err != nil || got != want {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}

func inode(fd int) uint64 {
	var st unix.Stat_t
	_ = unix.Fstat(fd, &st) // otherwise it is 0, and no file has that number
	return st.Ino
}
