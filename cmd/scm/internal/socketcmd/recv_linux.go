package socketcmd

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"golang.org/x/sys/unix"
)

// runWith replaces scm with a program. The program has the received files as descriptors 3 and up. runWith adds
// LISTEN_PID to the environment. If runWith returns, the program was not started.
func runWith(fds []int, env []string, program string, args []string) error {
	env = append(env, fmt.Sprintf("LISTEN_PID=%d", os.Getpid()))
	// The files replace descriptors of the runtime's poller, which aborts the process if it finds another file there.
	// So this thread gets a descriptor table of its own, and then polls no more: it runs no other goroutine and
	// collects no garbage.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	_ = unshareFiles() // without its own table, the poller almost certainly does not run before exec
	if err := moveFiles(fds); err != nil {
		return cli.Exit(cli.ExitFail, err)
	}
	err := unix.Exec(program, args, env)
	if err == unix.ENOEXEC { // a script without #!, which execvp(3) also passes to the shell
		program, args = "/bin/sh", slices.Concat([]string{"sh", program}, args[1:])
		err = unix.Exec(program, args, env)
	}
	return cli.Exit(cli.ExitFail, &os.PathError{Op: "exec", Path: program, Err: err})
}

// unshareFiles gives the calling thread a descriptor table of its own.
func unshareFiles() error {
	if unix.Unshare(unix.CLONE_FILES) == nil {
		return nil
	}
	return unix.CloseRange(math.MaxUint32, math.MaxUint32, unix.CLOSE_RANGE_UNSHARE) // which more containers allow
}

// moveFiles makes the files descriptors 3 and up, and lets a program that replaces scm inherit them.
func moveFiles(fds []int) (err error) {
	const first = 3
	for i, fd := range fds { // first, those that would be replaced before it is their turn
		if fd < first+i {
			if fds[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, first+len(fds)); err != nil {
				return os.NewSyscallError("fcntl", err)
			}
		}
	}
	for i, fd := range fds {
		if fd == first+i {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		} else {
			err = unix.Dup3(fd, first+i, 0)
		}
		if err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}
