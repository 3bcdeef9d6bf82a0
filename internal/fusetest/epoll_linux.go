package fusetest

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// AddToEpoll is unix.EpollCtl in a system call that the scheduler knows to wait: the kernel polls the
// file, whose server may be another goroutine of this process.
func AddToEpoll(epoll, fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
