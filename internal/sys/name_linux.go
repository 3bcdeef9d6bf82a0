package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockname is getsockname(2): it returns the address as the kernel writes it. An
// abstract name has 0 bytes in it, at which the others end.
func Sockname(fd int) ([]byte, error) { return name(unix.SYS_GETSOCKNAME, fd) }

// Peername is getpeername(2), as Sockname is getsockname(2).
func Peername(fd int) ([]byte, error) { return name(unix.SYS_GETPEERNAME, fd) }

// name makes a system call of which the scheduler knows: that of an Internet socket waits
// for whoever holds the socket locked.
func name(call uintptr, fd int) ([]byte, error) {
	buf := make([]byte, unix.SizeofSockaddrAny)
	length := uint32(len(buf))
	_, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&length)))
	if errno != 0 {
		return nil, errno
	}
	return buf[:min(int(length), len(buf))], nil
}
