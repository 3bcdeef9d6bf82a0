package scm

import (
	"github.com/scm-rights/scm/internal/sys"
)

// PeerCred identifies the process at the other end of the connected socket sock. That is the process that
// called connect, listen or socketpair, with the user and group that it had at that time. Since then the
// socket may have been passed to another process, and the PID may have been reused: see [PeerPIDFD].
//
// In a user namespace, an unmapped user is reported as 65534. PID is 0 on FreeBSD, and for a process in a
// PID namespace that is not visible from this one.
//
// PeerCred makes one system call: getsockopt(2) with SO_PEERCRED on Linux or with LOCAL_PEERCRED on macOS
// and FreeBSD, or getpeerucred on Solaris and illumos. The error wraps the errno (ENOTCONN if the socket
// has no such peer, ENOTSOCK, EBADF, …) or [errors.ErrUnsupported].
func PeerCred(sock int) (Cred, error) {
	pid, uid, gid, err := sys.PeerCred(int(toInt32(sock)))
	return Cred{PID: pid, UID: uid, GID: gid}, err
}

// PeerPIDFD returns a pidfd for the process that [PeerCred] identifies. The pidfd never refers to a later
// process with the same PID. It is close-on-exec, and the caller must close it. On error PeerPIDFD returns
// -1.
//
// Having a pidfd does not mean that the process is still running. Linux 6.16 and later also return one for a
// process that has ended and has been waited for. Earlier kernels return ESRCH or EINVAL for such a process.
// To find out whether the process has ended, poll the pidfd: once it has, the pidfd is readable. To wait
// with a deadline, set O_NONBLOCK on it and call [NewFile], as in the example.
//
// PeerPIDFD makes one getsockopt(2) call with SO_PEERPIDFD (Linux 6.5 and later). The error wraps the errno
// (ENODATA if the socket has no peer). If the option does not exist, it also wraps [errors.ErrUnsupported].
func PeerPIDFD(sock int) (int, error) {
	return sys.PeerPIDFD(int(toInt32(sock)))
}

// PassCred enables or disables the SO_PASSCRED option on the socket sock. While the option is on, the
// kernel adds the sender's credentials to each received message, for [Message].Cred, or those that a privileged
// sender claims. In a receive that does
// not ask for them, the credentials take up space for descriptors. A client may have connected before the
// listening socket had the option: set it on the accepted socket too, for example in [Config].Check.
//
// PassCred makes one setsockopt(2) call, and one getsockopt(2) call to check that the option took effect.
// The error wraps the errno. If the kernel does not have the option, or if the socket is not a Unix socket
// (since Linux 6.16), the error also matches [errors.ErrUnsupported], and nothing is changed. On systems other than Linux, PassCred makes no system
// call and always returns such an error.
func PassCred(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassCred, on)
}

// PassPIDFD enables or disables the SO_PASSPIDFD option on the socket sock (Linux 6.5 and later). While the
// option is on, the kernel adds a pidfd of the sender to each received message, for [Message].PIDFD, or one of
// the process that a privileged sender names.
// Otherwise PassPIDFD works like [PassCred].
func PassPIDFD(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassPIDFD, on)
}

// PassRights enables or disables the SO_PASSRIGHTS option on the socket sock (Linux 6.16 and later). While
// the option is off, sending descriptors to the socket fails with EPERM. Plain data still gets through, and
// the receiver still gets descriptors that were already queued.
//
// A program that expects no descriptors should turn the option off. If the kernel does not have the option
// ([errors.ErrUnsupported]), the program should instead receive with a capacity of 0 descriptors.
// [PassCred] documents the system calls, the errors and what to do about accepted sockets.
func PassRights(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassRights, on)
}
