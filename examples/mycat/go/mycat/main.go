//go:build unix

// Command mycat copies a file to standard output. It does not open the file
// itself: a helper, openfile, opens it and passes the descriptor back. This is
// mycat from UNP §15.7. It works with openfile in Go and in C.
//
//	mycat [-o OPENFILE] FILE
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

func main() {
	helper := flag.String("o", "./openfile", "run the helper `OPENFILE` to open the file")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mycat [-o OPENFILE] FILE")
		os.Exit(2)
	}
	if err := mycat(*helper, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "mycat:", err)
		os.Exit(1)
	}
}

func mycat(helper, path string) error {
	file, err := myOpen(helper, path, os.O_RDONLY)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, file)
	return errors.Join(err, file.Close())
}

// myOpen opens a file through the helper, like open(2).
func myOpen(helper, path string, mode int) (*os.File, error) {
	sv, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	unix.CloseOnExec(sv[0])
	unix.CloseOnExec(sv[1])
	ours, theirs := os.NewFile(uintptr(sv[0]), "ours"), os.NewFile(uintptr(sv[1]), "theirs")
	defer func() { _ = ours.Close() }()

	cmd := exec.Command(helper, "3", path, strconv.Itoa(mode))
	cmd.ExtraFiles = []*os.File{theirs} // the child has it as descriptor 3
	cmd.Stderr = os.Stderr
	err = cmd.Run()
	_ = theirs.Close()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.Errno(exit.ExitCode())}
	}
	if err != nil {
		return nil, err
	}
	_, fd, err := scm.ReadFD(sv[0], make([]byte, 1))
	if err != nil {
		return nil, err
	}
	if fd < 0 {
		return nil, errors.New(helper + " passed no descriptor")
	}
	file, err := scm.NewFile(fd, path)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return file, nil
}
