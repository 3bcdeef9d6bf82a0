package scmclose

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func index(fds []int) {
	for i := range fds {
		unix.Close(i) // want `this closes the index i, which may be another file of the program, instead of fds\[i\]`
	}
	for i, fd := range fds {
		if fd >= 0 {
			syscall.Close(i) // want `this closes the index i, which may be another file of the program, instead of fds\[i\]`
		}
	}
}

func descriptors(fds []int, names map[int]string, open []bool, count int) {
	for i, fd := range fds {
		unix.Close(fd)
		unix.Close(fds[i])
	}
	for fd := range names {
		unix.Close(fd)
	}
	for fd := range open {
		unix.Close(fd)
	}
	for fd := range count {
		unix.Close(fd)
	}
}
