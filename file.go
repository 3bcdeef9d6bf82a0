package scm

import (
	"os"

	"github.com/scm-rights/scm/internal/received"
	"github.com/scm-rights/scm/internal/sys"
)

// NewFile returns an [os.File] for the received descriptor fd and takes ownership of the descriptor. On
// success the file owns it. The descriptor is close-on-exec and may have been renumbered. On error fd stays
// open and unchanged, and still belongs to the caller. The error wraps the errno: EBADF if fd is not open,
// EMFILE, ENFILE, …
//
// Use NewFile instead of [os.NewFile], which puts every file with O_NONBLOCK set into the runtime's poller.
// The poller asks a file whether it is ready, and the whole process stops until the file answers. A sender
// can delay that answer indefinitely if it is the file's server (FUSE), or if it has passed an epoll and
// keeps it locked.
//
// On Linux, NewFile puts a file with O_NONBLOCK set into the poller if the file is a pipe, a socket of
// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK or AF_PACKET, an eventfd, a timerfd, a signalfd, an inotify
// or fanotify descriptor, a userfaultfd, a pidfd, a terminal (/dev/tty, /dev/console or a pseudoterminal), an
// input device (in /dev/input), or a TUN or TAP device that has an interface (TUNSETIFF). A Read then waits
// until the file is ready, and a deadline or Close ends the wait. NewFile recognizes the seven kinds from
// eventfd to pidfd by their names in /proc. They stay out of the poller if /proc is not mounted, and all files do
// if the user's epoll watches are used up (the sysctl fs.epoll.max_user_watches). A userfaultfd reports an
// error to the poller until its UFFDIO_API handshake, so call NewFile after that. On other systems only pipes
// and sockets enter the poller.
//
// Terminals are an exception to the rule that no single received file can stop the process: a partner that
// shares the terminal can stop it for five seconds at a time, and can repeat this indefinitely. An [Expect]
// that sets any Kind other than [KindCharDevice] rejects terminals. Once no process has a terminal open, a
// Read of its master returns EIO instead of [io.EOF].
//
// All other files stay out of the poller: those without O_NONBLOCK, such as the terminals that runc and
// crun send, and FUSE and CUSE files, epolls, vsock sockets and other devices, such as serial lines and
// virtual consoles. They have no deadlines ([os.ErrNoDeadline]). If O_NONBLOCK is clear, a Read or Write
// that waits blocks a thread, and Close does not interrupt it. If O_NONBLOCK is set, a Read or Write that
// would wait fails with EAGAIN: clear the flag with [SetNonblock], which clears it for the sender too. To
// get deadlines for a blocking file of the kinds above, set O_NONBLOCK on fd before the call.
//
// On Linux, NewFile makes one more epoll_ctl(2) call than os.NewFile does. For a file that has a poll
// method, it then makes one to three system calls to identify the file. If such a file may not enter the
// poller, NewFile renumbers it: closing its first descriptor can wait, and removes the process's
// fcntl(F_SETLK) locks on the file.
//
// If fd is 1 or 2, because the program has closed its standard output or standard error, NewFile renumbers the
// file too. Package os raises SIGPIPE if a write to one of these descriptors fails with EPIPE, so a partner could
// end the process. Do not call NewFile for the program's own standard files.
func NewFile(fd int, name string) (*os.File, error) {
	fd = int(toInt32(fd))
	return newFile(fd, name, func() error { return sys.CloseOnExec(fd) })
}

// receivedFile is NewFile for a descriptor that is close-on-exec.
func receivedFile(fd int, name string) (*os.File, error) {
	return newFile(fd, name, func() error { return nil })
}

// newFile calls setFlags last, so that fd is unchanged on error.
func newFile(fd int, name string, setFlags func() error) (*os.File, error) {
	if sys.HasPoll(fd) && !sys.Pollable(fd) {
		return unpolledFile(fd, name)
	}
	if err := sys.StartPoller(fd); err != nil {
		return nil, err
	}
	if fd == 1 || fd == 2 { // a file of package os would raise SIGPIPE for EPIPE
		own, err := sys.DupFrom(fd, 3)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		moved(fd, own)
		fd = own
	} else if err := setFlags(); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// moved closes the received descriptor fd, which own replaces.
func moved(fd, own int) {
	if received.On() {
		received.FD(int32(own))
	}
	sys.Close(fd)
}

// unpolledFile is NewFile for a file that must stay out of the poller. Package os checks O_NONBLOCK once,
// in os.NewFile. unpolledFile therefore calls it with a descriptor for another file, without O_NONBLOCK,
// and then makes that descriptor refer to fd's file.
func unpolledFile(fd int, name string) (*os.File, error) {
	own, err := sys.StandIn(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), name)
	if err := sys.Replace(own, fd); err != nil {
		_ = f.Close()
		return nil, err
	}
	moved(fd, own)
	return f, nil
}

// makeFiles creates files from received descriptors, and takes ownership of the descriptors. If it cannot
// create one of the files, it closes that descriptor and all after it, and returns the files before it
// along with the error, so that each file has the index that the sender gave it.
func makeFiles(fds []int) (files []*os.File, err error) {
	if len(fds) == 0 {
		return nil, nil
	}
	files = make([]*os.File, 0, len(fds))
	for i, fd := range fds {
		f, err := receivedFile(fd, "received")
		if err != nil {
			CloseFDs(fds[i:]...)
			if i == 0 {
				files = nil
			}
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// CloseFDs closes descriptors, such as those that [Conn.ReadFDs] or [Recv] returned, with close(2). It
// ignores negative values and errors.
func CloseFDs(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			sys.Close(int(toInt32(fd)))
		}
	}
}
