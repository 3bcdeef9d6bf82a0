package scm

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// sysPairRoom is the room that CMSG_SPACE(sizeof(int)) has: two descriptors on
// 64-bit systems.
const sysPairRoom = (unix.SizeofPtr-4)/4 + 1

func socketFamily(fd int) (int, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return family, os.NewSyscallError("getsockopt", err)
}

const openFlags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK

func sysSocket(network string) (int, error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, typ|openFlags, 0)
	return fd, os.NewSyscallError("socket", err)
}

func sysPair(network string) (a, b int, err error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, typ|openFlags, 0)
	return pair[0], pair[1], os.NewSyscallError("socketpair", err)
}

func sysAccept(sock int) (int, error) {
	fd, _, err := unix.Accept4(sock, openFlags)
	return fd, os.NewSyscallError("accept4", err)
}

// sysDup returns a bare errno.
func sysDup(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// sysRestrict gives the file that bind will make no more permissions than mode:
// Linux takes those of the socket, less the umask.
func sysRestrict(fd int, _ string, mode fs.FileMode) error {
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, uint32(mode)))
}
