package witness

import (
	"slices"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// Sleeps reports whether all threads of a process are asleep. It reads the status of the threads twice, and
// returns false if any of them has run in between.
func Sleeps(pid int) (bool, error) {
	before, err := threads(pid)
	if err != nil || !inStates(before, 'S', 'Z') {
		return false, err
	}
	now, err := threads(pid)
	return inStates(now, 'S', 'Z') && slices.Equal(before, now), err
}

// Stopped reports whether all threads of a process are stopped, perhaps by their tracer.
func Stopped(pid int) (bool, error) {
	all, err := threads(pid)
	return inStates(all, 'T', 't', 'Z'), err
}

// inStates reports whether there are threads, and all of them are in one of the states.
func inStates(all []procfs.Status, states ...byte) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(s procfs.Status) bool {
		return !slices.Contains(states, s.State())
	})
}

// threads returns the status of each thread of a process, which includes how often the thread has gone to sleep.
// If a thread exits during the call, threads returns an empty list. If all have ended, it returns ESRCH.
func threads(pid int) (all []procfs.Status, err error) {
	tids, err := procfs.Tasks(pid)
	if err != nil || len(tids) == 0 {
		return nil, unix.ESRCH
	}
	ended := true
	for _, tid := range tids {
		status, err := procfs.ReadStatus(tid)
		if err != nil {
			return nil, nil
		}
		all = append(all, status)
		ended = ended && status.State() == 'Z'
	}
	if ended {
		return nil, unix.ESRCH
	}
	return all, nil
}

// Waiter returns the thread of a process that waits in a system call on the socket. If no thread does, or if the
// kernel does not report system calls, it returns the first thread that has not ended. The runner's own peer makes its
// calls on that thread.
func Waiter(pid, sock int) int {
	tids, err := procfs.Tasks(pid)
	if err != nil {
		return pid
	}
	for _, tid := range tids {
		call, ok, err := procfs.ReadSyscall(tid)
		if err == nil && ok && call.Args[0] == uint64(sock) && messageCalls[call.Number] {
			return tid
		}
	}
	for _, tid := range tids {
		if status, err := procfs.ReadStatus(tid); err == nil && !status.HasEnded() {
			return tid
		}
	}
	return pid
}

// messageCalls are the system calls that can wait on a socket.
var messageCalls = map[int]bool{
	unix.SYS_RECVMSG: true, unix.SYS_RECVMMSG: true, unix.SYS_RECVFROM: true, unix.SYS_READ: true, unix.SYS_READV: true,
	unix.SYS_SENDMSG: true, unix.SYS_SENDMMSG: true, unix.SYS_SENDTO: true, unix.SYS_WRITE: true, unix.SYS_WRITEV: true,
}

// MayNotInspect reports whether err means that the kernel does not let the runner inspect the process, rather
// than that the process is gone. One reason is that the process is not dumpable. Another is that /proc is
// mounted with hidepid, which makes a process appear to be gone.
func MayNotInspect(pid int, err error) bool {
	if IgnoreGone(err) != nil {
		status, e := procfs.ReadStatus(pid)
		if e == nil {
			return !status.IsEnding()
		}
		if IgnoreGone(e) != nil {
			return true
		}
	}
	return err != nil && !procfs.Exists(pid) && unix.Kill(pid, 0) == nil
}

// IgnoreGone returns err, or nil if err means that the process or descriptor is gone.
func IgnoreGone(err error) error {
	if procfs.IsGone(err) {
		return nil
	}
	return err
}

// Owner returns the effective user and group of a process.
func Owner(pid int) (uid, gid int, err error) {
	status, err := procfs.ReadStatus(pid)
	if err != nil {
		return 0, 0, err
	}
	return status.Owner()
}
