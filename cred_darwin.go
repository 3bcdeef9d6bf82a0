package scm

import "golang.org/x/sys/unix"

func peerCred(sock int) (cred Cred, call string, err error) {
	x, err := unix.GetsockoptXucred(sock, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Cred{}, "getsockopt", err
	}
	pid, err := unix.GetsockoptInt(sock, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return Cred{}, "getsockopt", err
	}
	return Cred{PID: pid, UID: int(x.Uid), GID: firstGroup(x)}, "", nil
}
