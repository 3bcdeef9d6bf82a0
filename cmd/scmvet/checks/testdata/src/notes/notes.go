package notes

import "golang.org/x/sys/unix"

func accepted(fds []int) {
	for i := range fds {
		unix.Close(i) //scmvet:ignore scmclose the first descriptors are the standard files
		//scmvet:ignore scmclose on the line above
		unix.Close(i)
	}
}

func withoutReason(fds []int) {
	for i := range fds {
		unix.Close(i) /* want `this closes the index i` */ //scmvet:ignore scmclose
	}
}

func ofAnotherCheck(fds []int) {
	for i := range fds {
		unix.Close(i) /* want `this closes the index i` */ //scmvet:ignore scmleak it is closed
	}
}
