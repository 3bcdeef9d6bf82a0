//go:build unix

package fdchannel

import "golang.org/x/sys/unix"

const (
	msgTrunc  = unix.MSG_TRUNC
	msgCtrunc = unix.MSG_CTRUNC
)

// closeFD closes a number. Its error has nobody to go to: the number is free on
// every system after close was called.
func closeFD(fd int) {
	_ = unix.Close(fd)
}

func shutdown(sockfd int) {
	_ = unix.Shutdown(sockfd, unix.SHUT_RDWR)
}
