package scm

import "golang.org/x/sys/unix"

func peerCred(sock int) (cred Cred, call string, err error) {
	u, err := unix.GetPeerUcred(uintptr(sock))
	if err != nil {
		return Cred{}, "getpeerucred", err
	}
	return Cred{PID: u.Getpid(), UID: u.Geteuid(), GID: u.Getegid()}, "", nil
}
