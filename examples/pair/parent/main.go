//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/scm-rights/scm"
)

func main() {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	child, buf := exec.Command(os.Args[1]), []byte("x")
	child.ExtraFiles = []*os.File{os.NewFile(uintptr(ends[1]), "socket")} // its descriptor 3
	err = child.Start()
	_ = child.ExtraFiles[0].Close() // without this, ReadFD waits forever if the child fails
	if err == nil {
		_, err = scm.WriteFD(ends[0], buf, 0)
	}
	var fd int
	if err == nil {
		_, fd, err = scm.ReadFD(ends[0], buf)
	}
	var file *os.File
	if err == nil {
		file, err = scm.NewFile(fd, "received")
	}
	if err == nil {
		_, err = io.Copy(os.Stdout, file)
	}
	if err = errors.Join(err, child.Wait()); err != nil {
		panic(err)
	}
}
