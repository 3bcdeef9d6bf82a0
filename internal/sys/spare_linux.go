package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

func spare() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, os.NewSyscallError("eventfd2", err)
}
