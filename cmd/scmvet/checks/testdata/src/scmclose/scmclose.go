package scmclose

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func index(fds []int) {
	for i := range fds {
		unix.Close(i) // want `this closes the index i, which may be another file of the program, instead of fds\[i\]`
	}
	for i := 0; i < len(fds); i++ {
		if i >= 0 {
			syscall.Close(i) // want `this closes the index i, which may be another file of the program, instead of fds\[i\]`
		}
	}
	for i := range len(fds) {
		unix.Close(i) // want `instead of fds\[i\]`
	}
}

// The numbers in these lists are not descriptors.
func tables(wanted []int) {
	for i := range wanted {
		if wanted[i] == -1 {
			unix.Close(i)
		}
	}
	for fd, count := range wanted {
		if count == 0 {
			unix.Close(fd)
		}
	}
	for fd := range numbers() {
		unix.Close(fd)
	}
}

func numbers() []int

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
	for fd := 3; fd < count; fd++ {
		unix.Close(fd)
	}
}

type list []int

func named(fds list) {
	for i := range fds {
		unix.Close(i) // want `instead of fds\[i\]`
	}
}
