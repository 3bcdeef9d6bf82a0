//go:build linux

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
)

// lock waits until no other process in this checkout runs the subcommand, because both would write the same files in
// build. The lock ends with the process. An os.File would release it when the garbage collector closes the file.
func lock(verb string) {
	must.OK(os.MkdirAll("build", 0o777))
	name := "build/" + verb + ".lock"
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o666)
	if err != nil {
		must.OK(&os.PathError{Op: "open", Path: name, Err: err})
	}
	if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		fmt.Fprintf(os.Stderr, "%s: waiting for another run in this directory\n", verb)
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	must.OK(err)
}
