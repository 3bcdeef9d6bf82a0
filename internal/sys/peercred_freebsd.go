package sys

func PeerCred(sock int) (pid, uid, gid int, err error) {
	uid, gid, err = xucred(sock)
	return 0, uid, gid, err
}
