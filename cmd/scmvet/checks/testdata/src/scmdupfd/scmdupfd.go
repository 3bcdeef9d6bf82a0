package scmdupfd

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func without(fd uintptr) {
	unix.FcntlInt(fd, unix.F_DUPFD, 3)                                  // want `without F_DUPFD_CLOEXEC, a child process started at this moment inherits the duplicate`
	syscall.Syscall(syscall.SYS_FCNTL, fd, uintptr(syscall.F_DUPFD), 0) // want `without F_DUPFD_CLOEXEC`
}

func with(fd uintptr) {
	unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
}

func locked(fd uintptr) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if dup, err := unix.FcntlInt(fd, unix.F_DUPFD, 0); err == nil {
		syscall.CloseOnExec(dup)
	}
}

func command(number int) bool { return number == unix.F_DUPFD }
