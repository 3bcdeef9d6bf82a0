package reference

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

func dup(a *args) (string, error) {
	return a.held(unix.FcntlInt(uintptr(a.fd()), unix.F_DUPFD_CLOEXEC, 0))
}

var (
	pollBits = map[string]int{"in": unix.POLLIN, "out": unix.POLLOUT, "pri": unix.POLLPRI, "err": unix.POLLERR,
		"hup": unix.POLLHUP, "rdhup": unix.POLLRDHUP, "nval": unix.POLLNVAL}
)

// forever waits as long as the runner does.
const forever = -1

// waits is how long poll and epoll wait: not at all, unless wait=yes.
func (a *args) waits() int {
	if a.fields["wait"] == "yes" {
		return forever
	}
	return 0
}

// poll asks about the case's socket, if no other is named.
func poll(a *args) (string, error) {
	fds := []unix.PollFd{{Fd: int32(a.number("fd", a.Sock())), Events: int16(a.words("events", pollBits))}}
	for {
		_, err := unix.Poll(fds, a.waits())
		if err == unix.EINTR {
			continue
		}
		return "events=" + names(int(fds[0].Revents), contract.Words["poll events"], pollBits), err
	}
}

var (
	fcntlGets = map[string]int{"fl": unix.F_GETFL, "fd": unix.F_GETFD, "pipe_sz": unix.F_GETPIPE_SZ, "owner": unix.F_GETOWN}
	fcntlSets = map[string]int{"fl": unix.F_SETFL, "fd": unix.F_SETFD, "pipe_sz": unix.F_SETPIPE_SZ}
	flagBits  = map[string]int{"append": unix.O_APPEND, "nonblock": unix.O_NONBLOCK, "wronly": unix.O_WRONLY, "rdwr": unix.O_RDWR,
		"path": unix.O_PATH, "cloexec": unix.O_CLOEXEC}
)

// fcntl get=fl tells the status flags, get=fd whether it is close-on-exec;
// set=fl:append,nonblock and set=fd:cloexec set them.
func fcntl(a *args) (string, error) {
	fd := uintptr(a.fd())
	if text, ok := a.fields["set"]; ok {
		what, value, _ := strings.Cut(text, ":")
		arg := bitsOf(value, flagBits)
		switch what {
		case "pipe_sz":
			arg, _ = strconv.Atoi(value)
		case "fd":
			arg = bitsOf(value, map[string]int{"cloexec": unix.FD_CLOEXEC})
		}
		_, err := unix.FcntlInt(fd, fcntlSets[what], arg)
		return "", err
	}
	what := a.fields["get"]
	value, err := unix.FcntlInt(fd, fcntlGets[what], 0)
	switch what {
	case "fl":
		return "value=" + names(value, contract.Words["fcntl flags"], flagBits), err
	case "fd":
		if value&unix.FD_CLOEXEC != 0 {
			return "value=cloexec", err
		}
		return "value=-", err
	}
	return fmt.Sprintf("value=%d", value), err
}

var (
	sealBits = map[string]int{"seal": unix.F_SEAL_SEAL, "shrink": unix.F_SEAL_SHRINK, "grow": unix.F_SEAL_GROW, "write": unix.F_SEAL_WRITE}
)

// seal adds seals=, if there are any, and tells those that there are.
func seal(a *args) (string, error) {
	fd, add := uintptr(a.fd()), a.words("seals", sealBits)
	if add != 0 {
		if _, err := unix.FcntlInt(fd, unix.F_ADD_SEALS, add); err != nil {
			return "", err
		}
	}
	seals, err := unix.FcntlInt(fd, unix.F_GET_SEALS, 0)
	return "seals=" + names(seals, contract.Words["seal seals"], sealBits), err
}

// lock takes a lock of one of three kinds, or gives it back, without waiting.
func lock(a *args) (string, error) {
	how, cmd := a.fields["how"], unix.F_SETLK
	switch a.text("kind", "flock") {
	case "flock":
		op := map[string]int{"shared": unix.LOCK_SH, "exclusive": unix.LOCK_EX, "none": unix.LOCK_UN}[how]
		return "", unix.Flock(a.fd(), op|unix.LOCK_NB)
	case "ofd":
		cmd = unix.F_OFD_SETLK
	}
	t := map[string]int16{"shared": unix.F_RDLCK, "exclusive": unix.F_WRLCK, "none": unix.F_UNLCK}[how]
	return "", unix.FcntlFlock(uintptr(a.fd()), cmd, &unix.Flock_t{Type: t})
}

// lseek moves to offset=, or tells where it is.
func lseek(a *args) (string, error) {
	fd, whence := a.fd(), unix.SEEK_SET
	if !a.has("offset") {
		whence = unix.SEEK_CUR
	}
	n, err := unix.Seek(fd, int64(a.number("offset", 0)), whence)
	return fmt.Sprintf("value=%d", n), err
}

func truncate(a *args) (string, error) {
	return "", unix.Ftruncate(a.fd(), int64(a.number("size", 0)))
}

var kinds = map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
	unix.S_IFCHR: "char", unix.S_IFBLK: "block", unix.S_IFLNK: "link", 0: "anonymous"}

func stat(a *args) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(a.fd(), &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("kind=%s mode=0%03o size=%d links=%d uid=%d", kinds[st.Mode&unix.S_IFMT], st.Mode&0o7777, st.Size, st.Nlink, st.Uid), nil
}

// mmap maps a page, shared, and unmaps it again.
func mmap(a *args) (string, error) {
	prot := a.words("prot", map[string]int{"read": unix.PROT_READ, "write": unix.PROT_WRITE})
	mem, err := unix.Mmap(a.fd(), 0, unix.Getpagesize(), prot, unix.MAP_SHARED)
	if err != nil {
		return "", err
	}
	return "", unix.Munmap(mem)
}

// epoll puts the second of fds= under the watch of the first; how=edge for once a
// change, how=remove to take it away.
func epoll(a *args) (string, error) {
	ep, fd := a.two()
	op, events := unix.EPOLL_CTL_ADD, uint32(unix.EPOLLIN)
	switch a.text("how", "level") {
	case "edge":
		events |= unix.EPOLLET
	case "remove":
		op = unix.EPOLL_CTL_DEL
	}
	return "", unix.EpollCtl(ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func epollwait(a *args) (string, error) {
	fd, wait := a.fd(), a.waits()
	for {
		n, err := unix.EpollWait(fd, make([]unix.EpollEvent, 8), wait)
		if err == unix.EINTR {
			continue
		}
		return fmt.Sprintf("n=%d", n), err
	}
}

// pidof tells whose pidfd it is; -1 for a process that is gone.
func pidof(a *args) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fdinfo/%d", a.fd()))
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if pid, ok := strings.CutPrefix(lines.Text(), "Pid:"); ok {
			return "pid=" + strings.TrimSpace(pid), nil
		}
	}
	return "", unix.EINVAL
}

// sendSignal sends a signal by a pidfd.
func sendSignal(a *args) (string, error) {
	s, err := raw.FindSignal(a.fields["signal"])
	if err != nil {
		return "", err
	}
	fd := a.fd()
	if text, err := pidof(a); err == nil && text == fmt.Sprintf("pid=%d", os.Getppid()) {
		a.bad("fd") // a file of kind pidfd is the runner's, which no scenario may end
	}
	if a.err != nil {
		return "", nil
	}
	return "", unix.PidfdSendSignal(fd, s, nil, 0)
}

// setns enters the namespace that the process is in already: what is asked is
// whether the descriptor is one.
func setns(a *args) (string, error) {
	return "", unix.Setns(a.fd(), 0)
}

// inherited tells whether a program that is started here has the number open.
func inherited(a *args) (string, error) {
	err := exec.Command("/bin/sh", "-c", fmt.Sprintf("[ -e /proc/self/fd/%d ]", a.fd())).Run()
	if _, failed := err.(*exec.ExitError); failed {
		return "open=no", nil
	}
	return "open=yes", err
}

// adopt takes numbers over that are there, and that nobody told of.
func adopt(a *args) (string, error) {
	for _, text := range strings.Split(a.text("fds", ""), ",") {
		fd, _ := strconv.Atoi(text)
		a.Hold(fd)
	}
	return "", nil
}
