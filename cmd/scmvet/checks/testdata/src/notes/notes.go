package notes

import "golang.org/x/sys/unix"

func accepted(fds []int) {
	for i := range fds {
		unix.Close(i) //scmvet:ignore scmclose the first descriptors are the standard files
		//scmvet:ignore scmclose on the line above
		unix.Close(i)
	}
}

func trailing(fds []int) {
	for i := range fds { //scmvet:ignore scmclose of this line only
		unix.Close(i) // want `this closes the index i`
	}
	for i := range fds {
		_ = i         //scmvet:ignore scmclose of this line only
		unix.Close(i) // want `this closes the index i`
	}
}

func text(fds []int) {
	for i := range fds {
		use("//scmvet:ignore scmclose no comment", unix.Close(i)) // want `this closes the index i`
		_ = `
//scmvet:ignore scmclose no comment`
		unix.Close(i) // want `this closes the index i`
	}
}

func long(fds []int) {
	for i := range fds {
		//scmvet:ignore scmclose the note is above the call
		use(
			"", unix.Close(i)) // want `this closes the index i`
		use(
			//scmvet:ignore scmclose the note is above the argument
			"", unix.Close(i))
	}
}

func use(string, error)

func withoutReason(fds []int) {
	for i := range fds {
		unix.Close(i) /* want `this closes the index i` `this note has no effect, because it gives no reason \(scmclose\)` */ //scmvet:ignore scmclose
	}
}

func ofAnotherCheck(fds []int) {
	for i := range fds {
		unix.Close(i) /* want `this closes the index i` */ //scmvet:ignore scmleak it is closed
	}
}
