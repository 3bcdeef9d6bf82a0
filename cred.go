package scm

import (
	"github.com/scm-rights/scm/internal/sys"
)

// PeerCred identifies the process that called connect, listen or socketpair for the other end of the socket
// sock, with the user and group it had then. Since then, the socket may have been passed on and the PID reused:
// see [PeerPIDFD]. For a listening socket, it identifies the process that called listen. Without a peer, as on a
// datagram socket not from Pair, the error is ENOTCONN. For containers, see docs/questions.md.
func PeerCred(sock int) (Cred, error) {
	pid, uid, gid, err := sys.PeerCred(int(toInt32(sock)))
	return Cred{PID: pid, UID: uid, GID: gid}, err
}

// PeerPIDFD returns a pidfd for the process that [PeerCred] identifies, and never for a later process with
// the same PID (Linux 6.5). The caller must close it. poll(2) reports it as readable once the process has
// ended. Before Linux 6.16, the error can be ESRCH or EINVAL if it has ended. If there is no peer, the
// error is ENODATA.
func PeerPIDFD(sock int) (int, error) {
	return sys.PeerPIDFD(int(toInt32(sock)))
}

// PassCred turns SO_PASSCRED of the socket sock on or off. While it is on, the kernel adds the sender's credentials
// to each message sent to sock. Only Recv with a non-nil [Message].Cred makes space for these. Other calls can lose
// descriptors, or return a [*TruncatedError] even for a message without any. An accepted socket has the option if
// the listener had it when the client connected.
func PassCred(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassCred, on)
}

// PassPIDFD is like [PassCred], but for SO_PASSPIDFD (Linux 6.5), with which the kernel adds a pidfd of the
// sender: see [Message].PIDFD.
func PassPIDFD(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassPIDFD, on)
}

// PassRights is like [PassCred], but for SO_PASSRIGHTS (Linux 6.16). While the option is off, sending
// descriptors to the socket fails with EPERM. Other data, and descriptors already queued, still get through. If
// you expect no descriptors, turn the option off. Without kernel support, receive with a capacity of 0 instead.
func PassRights(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassRights, on)
}
