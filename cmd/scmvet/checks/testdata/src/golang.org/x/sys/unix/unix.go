// Package unix has the declarations of golang.org/x/sys/unix that the test data needs.
package unix

import "syscall"

const (
	MSG_CMSG_CLOEXEC = syscall.MSG_CMSG_CLOEXEC
	MSG_CTRUNC       = syscall.MSG_CTRUNC
	MSG_DONTWAIT     = syscall.MSG_DONTWAIT
	F_DUPFD          = syscall.F_DUPFD
	F_DUPFD_CLOEXEC  = syscall.F_DUPFD_CLOEXEC
	F_SETFL          = syscall.F_SETFL
	O_NONBLOCK       = syscall.O_NONBLOCK
	AF_NETLINK       = syscall.AF_NETLINK
	AF_UNIX          = syscall.AF_UNIX
	SCM_RIGHTS       = syscall.SCM_RIGHTS
	SCM_CREDENTIALS  = syscall.SCM_CREDENTIALS
	SizeofUcred      = syscall.SizeofUcred
	EINTR            = syscall.EINTR
	EAGAIN           = syscall.EAGAIN
)

type (
	Sockaddr             = syscall.Sockaddr
	SocketControlMessage = syscall.SocketControlMessage
)

func CmsgLen(n int) int                                                  { return n }
func CmsgSpace(n int) int                                                { return n }
func Socket(domain, typ, proto int) (int, error)                         { return 0, nil }
func Close(fd int) error                                                 { return nil }
func FcntlInt(fd uintptr, cmd, arg int) (int, error)                     { return 0, nil }
func SetNonblock(fd int, nonblocking bool) error                         { return nil }
func ParseSocketControlMessage(b []byte) ([]SocketControlMessage, error) { return nil, nil }
func ParseUnixRights(m *SocketControlMessage) ([]int, error)             { return nil, nil }

func Recvmsg(fd int, p, oob []byte, flags int) (n, oobn, recvflags int, from Sockaddr, err error) {
	return
}

func RecvmsgBuffers(fd int, buffers [][]byte, oob []byte, flags int) (n, oobn, recvflags int, from Sockaddr, err error) {
	return
}
