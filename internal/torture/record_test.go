//go:build linux

package torture

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What strace wrote of the first thread of a child.

// tracedCall is a system call between the marks.
type tracedCall struct {
	name     string // on every architecture
	traced   string // as strace has it on this one
	ordinal  int    // among the thread's calls of that name, from 1
	line     string
	args     string
	result   string
	injected bool
}

// tortureRecord is what the thread did.
type tortureRecord struct {
	calls []tracedCall
	dead  bool // SIGKILL
}

var tracedLine = regexp.MustCompile(`^(\[ *\d+\] (\w+))\((.*)\)?\s+= (-?\w+|\?)(.*)$`)

// The runtime makes these calls when it likes, and ends the process if one fails.
var runtimeCalls = strings.Fields(`brk mmap mmap2 munmap mprotect madvise futex nanosleep clock_nanosleep sched_yield
	sched_getaffinity epoll_pwait epoll_pwait2 rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack tgkill getpid gettid
	clone clone3 prctl timer_create timer_settime timer_delete setitimer restart_syscall exit_group`)

// plainName is the name of a system call without what an architecture with 32 bits adds to it.
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

// ofRuntime tells a call of the runtime's own. It wakes its poller by an eventfd.
func ofRuntime(name, args string) bool {
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
		ordinals[numbered]++ // strace counts those by way of socketcall apart
		switch {
		case name == "getpgid":
			inside = true
		case name == "getsid":
			inside = false
		case inside && !ofRuntime(name, args):
			r.calls = append(r.calls, tracedCall{name, traced, ordinals[numbered], line, args, match[4],
				strings.Contains(match[5], "(INJECTED)")})
		}
	}
	return r
}

// did tells how often a call of one of these names was made and succeeded.
func (r tortureRecord) did(names ...string) (n int) {
	for _, c := range r.calls {
		if slices.Contains(names, c.name) && !strings.HasPrefix(c.result, "-") && c.result != "?" {
			n++
		}
	}
	return n
}

// first is the number that a call of close closes.
func (c tracedCall) first() int {
	text, _, _ := strings.Cut(c.args, ",")
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// kind is the call's name, and for some what it is to do.
func (c tracedCall) kind() string {
	args := strings.Split(c.args, ", ")
	switch {
	case c.name == "epoll_ctl" && len(args) > 2 && args[0] == args[2]:
		return "epoll_ctl of itself" // the question whether a file has a poll method
	case (c.name == "fcntl" || c.name == "ioctl" || c.name == "epoll_ctl") && len(args) > 1:
		return c.name + " " + args[1]
	}
	return c.name
}

// plausible are the errors that each system call could give on a bad day. A call
// that is made and is not here turns the spec red.
var plausible = map[string][]unix.Errno{
	"sendmsg": {unix.EINTR, unix.EAGAIN, unix.ETOOMANYREFS, unix.EPIPE, unix.ENOBUFS, unix.ECONNRESET, unix.EPERM, unix.EINVAL,
		unix.EMSGSIZE, unix.ENOMEM, unix.ENOTCONN, unix.ECONNREFUSED, unix.EBADF},
	"sendmmsg":                {unix.EINTR, unix.EAGAIN, unix.ETOOMANYREFS, unix.EPIPE, unix.ENOBUFS, unix.ECONNRESET, unix.EPERM, unix.EINVAL, unix.ENOMEM},
	"recvmsg":                 {unix.EINTR, unix.EAGAIN, unix.ECONNRESET, unix.ENOMEM, unix.ENOTCONN, unix.EINVAL, unix.EPERM, unix.EBADF},
	"recvmmsg":                {unix.EINTR, unix.EAGAIN, unix.ECONNRESET, unix.ENOMEM, unix.ENOTCONN, unix.EINVAL, unix.EPERM},
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
	"epoll_ctl EPOLL_CTL_DEL": {}, // of what is in the poller it cannot fail
	"epoll_ctl of itself":     {unix.EPERM, unix.EINVAL, unix.ENOMEM},
	"newfstatat":              {unix.EINTR, unix.ENOMEM, unix.EACCES, unix.EIO},
	"fstat":                   {unix.ENOMEM, unix.EIO},
	"statx":                   {unix.ENOMEM, unix.EIO, unix.EACCES},
	"statfs":                  {unix.EINTR, unix.ENOMEM, unix.EIO},
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
	"geteuid":                 {}, // it cannot fail
}
