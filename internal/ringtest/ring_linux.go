package ringtest

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The operations of io_uring_register(2), in linux/io_uring.h.
const (
	registerFiles       = 2
	registerFilesUpdate = 6
)

// New creates an io_uring whose table of fixed files has this many free slots.
func New(slots int) (ring int, err error) {
	var params [120]byte // struct io_uring_params
	n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return -1, errno
	}
	free := make([]int32, slots)
	for i := range free {
		free[i] = -1
	}
	if err := register(int(n), registerFiles, unsafe.Pointer(&free[0]), slots); err != nil {
		_ = unix.Close(int(n))
		return -1, err
	}
	return int(n), nil
}

// Put makes the file of a descriptor the fixed file in a slot. -1 frees the slot.
func Put(ring, slot int, fd *int32) error {
	update := struct { // struct io_uring_files_update
		offset, _ uint32
		fds       *int32
		_         [8 - unsafe.Sizeof(uintptr(0))]byte
	}{offset: uint32(slot), fds: fd}
	return register(ring, registerFilesUpdate, unsafe.Pointer(&update), 1)
}

func register(ring, operation int, arg unsafe.Pointer, n int) error {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER,
		uintptr(ring), uintptr(operation), uintptr(arg), uintptr(n), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
