//go:build linux

package torture

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file parses strace's record of a child's first thread.

// tracedCall is a system call between the marks.
type tracedCall struct {
	name     string // the same on every architecture
	traced   string // strace's name on this architecture
	ordinal  int    // which of the thread's calls of that name, from 1
	line     string
	args     string
	result   string
	injected bool
}

// tortureRecord lists the system calls that the thread made between the marks.
type tortureRecord struct {
	calls []tracedCall
	dead  bool // SIGKILL ended the process
}

var tracedLine = regexp.MustCompile(`^(\[ *\d+\] (\w+))\((.*)\)?\s+= (-?\w+|\?)(.*)$`)

// runtimeCalls are system calls that the Go runtime makes at any time. It ends the process if one fails.
var runtimeCalls = strings.Fields(`brk mmap mmap2 munmap mprotect madvise futex nanosleep clock_nanosleep sched_yield
	sched_getaffinity epoll_pwait epoll_pwait2 rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack tgkill getpid gettid
	clone clone3 prctl timer_create timer_settime timer_delete setitimer restart_syscall exit_group`)

// plainName returns the name of a system call without the suffixes of 32-bit architectures.
func plainName(traced string) string {
	name := traced
	for _, suffix := range []string{"_time64", "64", "32"} {
		name = strings.TrimSuffix(name, suffix)
	}
	if name == "fstatat" {
		return "newfstatat"
	}
	return name
}

// isRuntimeCall reports whether the Go runtime made a system call. It wakes its poller by reading
// and writing the 8 bytes of an eventfd.
func isRuntimeCall(name, args string) bool {
	return slices.Contains(runtimeCalls, name) ||
		(name == "write" || name == "read") && strings.HasSuffix(args, ", 8")
}

func parseRecord(text string) (r tortureRecord) {
	ordinals := map[string]int{}
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		r.dead = r.dead || strings.HasSuffix(line, "+++ killed by SIGKILL +++")
		match := tracedLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		numbered, traced, args := match[1], match[2], strings.TrimRight(match[3], ") ")
		name := plainName(traced)
		ordinals[numbered]++ // strace counts calls made through socketcall separately
		switch {
		case name == "getpgid":
			inside = true
		case name == "getsid":
			inside = false
		case inside && !isRuntimeCall(name, args):
			r.calls = append(r.calls, tracedCall{name, traced, ordinals[numbered], line, args, match[4],
				strings.Contains(match[5], "(INJECTED)")})
		}
	}
	return r
}

// succeeded returns how many calls with one of these names succeeded.
func (r tortureRecord) succeeded(names ...string) (n int) {
	for _, c := range r.calls {
		if slices.Contains(names, c.name) && !strings.HasPrefix(c.result, "-") && c.result != "?" {
			n++
		}
	}
	return n
}

// closedFD returns the descriptor argument of a close, or -1.
func (c tracedCall) closedFD() int {
	text, _, _ := strings.Cut(c.args, ",")
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// kind returns the name of the call, followed by the command for calls that have one.
func (c tracedCall) kind() string {
	args := strings.Split(c.args, ", ")
	switch {
	case c.name == "epoll_ctl" && len(args) > 2 && args[0] == args[2]:
		return "epoll_ctl of itself" // finds out whether a file has a poll method
	case (c.name == "fcntl" || c.name == "ioctl" || c.name == "epoll_ctl") && len(args) > 1:
		return c.name + " " + args[1]
	}
	return c.name
}

// plausible lists the errnos with which each system call may fail. A spec fails if its
// operation makes a system call that is not listed.
var plausible = map[string][]unix.Errno{
	"sendmsg": {unix.EINTR, unix.EAGAIN, unix.ETOOMANYREFS, unix.EPIPE, unix.ENOBUFS, unix.ECONNRESET, unix.EPERM, unix.EINVAL,
		unix.EMSGSIZE, unix.ENOMEM, unix.ENOTCONN, unix.ECONNREFUSED, unix.EBADF},
	"sendmmsg":                {unix.EINTR, unix.EAGAIN, unix.ETOOMANYREFS, unix.EPIPE, unix.ENOBUFS, unix.ECONNRESET, unix.EPERM, unix.EINVAL, unix.ENOMEM},
	"recvmsg":                 {unix.EINTR, unix.EAGAIN, unix.ECONNRESET, unix.ENOMEM, unix.ENOTCONN, unix.EINVAL, unix.EPERM, unix.EBADF},
	"recvmmsg":                {unix.EINTR, unix.EAGAIN, unix.ECONNRESET, unix.ENOMEM, unix.ENOTCONN, unix.EINVAL, unix.EPERM},
	"write":                   {unix.EINTR, unix.EAGAIN, unix.EPIPE, unix.ENOBUFS, unix.ENOMEM, unix.EPERM},
	"read":                    {unix.EINTR, unix.EAGAIN, unix.ECONNRESET, unix.ENOMEM, unix.EPERM},
	"close":                   {unix.EIO, unix.EINTR},
	"fcntl F_DUPFD_CLOEXEC":   {unix.EMFILE, unix.EINVAL},
	"fcntl F_GETFL":           {unix.EPERM},
	"fcntl F_SETFD":           {unix.EPERM},
	"fcntl F_SETFL":           {unix.EPERM},
	"fcntl F_GET_SEALS":       {unix.EINVAL, unix.EPERM},
	"ioctl FIONBIO":           {unix.EPERM},
	"getsockopt":              {unix.ENOMEM, unix.EPERM, unix.ENOPROTOOPT, unix.EINVAL, unix.ENODATA, unix.EMFILE},
	"setsockopt":              {unix.ENOMEM, unix.EPERM, unix.ENOPROTOOPT, unix.EINVAL},
	"socket":                  {unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EACCES},
	"socketpair":              {unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EACCES},
	"bind":                    {unix.EACCES, unix.ENOSPC, unix.EADDRINUSE, unix.ENOMEM, unix.EROFS},
	"listen":                  {unix.ENOMEM, unix.EINVAL},
	"connect":                 {unix.EINTR, unix.EAGAIN, unix.ECONNREFUSED, unix.ENOMEM, unix.EACCES, unix.EPERM},
	"accept4":                 {unix.EINTR, unix.EAGAIN, unix.ECONNABORTED, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPERM},
	"openat":                  {unix.EINTR, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EACCES},
	"eventfd2":                {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	"dup3":                    {unix.EMFILE, unix.EBUSY},
	"epoll_ctl EPOLL_CTL_ADD": {unix.ENOMEM, unix.ENOSPC},
	"epoll_ctl EPOLL_CTL_DEL": {}, // cannot fail for a file in the poller
	"epoll_ctl of itself":     {unix.EPERM, unix.EINVAL, unix.ENOMEM},
	"newfstatat":              {unix.EINTR, unix.ENOMEM, unix.EACCES, unix.EIO},
	"fstat":                   {unix.ENOMEM, unix.EIO},
	"statx":                   {unix.ENOMEM, unix.EIO, unix.EACCES},
	"statfs":                  {unix.EINTR, unix.ENOMEM, unix.EIO},
	"getcwd":                  {unix.ENOENT, unix.EACCES, unix.ENAMETOOLONG},
	"renameat":                {unix.EINTR, unix.EACCES, unix.EIO, unix.EROFS},
	"unlinkat":                {unix.EINTR, unix.EACCES, unix.EIO, unix.EROFS},
	"fchmod":                  {unix.EPERM, unix.EIO, unix.EROFS},
	"fchmodat":                {unix.EPERM, unix.EIO, unix.EROFS},
	"flock":                   {unix.EINTR, unix.EAGAIN, unix.ENOLCK},
	"readlinkat":              {unix.EINTR, unix.ENOMEM, unix.EACCES},
	"getsockname":             {unix.ENOBUFS, unix.ENOMEM, unix.EPERM},
	"getpeername":             {unix.ENOBUFS, unix.ENOMEM, unix.EPERM},
	"shutdown":                {unix.ENOMEM, unix.ENOTCONN},
	"ppoll":                   {unix.EINTR, unix.ENOMEM},
	"geteuid":                 {}, // cannot fail
}
