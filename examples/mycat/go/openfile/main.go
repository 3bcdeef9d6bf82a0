//go:build unix

// Command openfile opens a file for mycat, and passes the descriptor back with
// one zero byte.
//
//	openfile SOCKFD PATH MODE
//
// MODE is the flags of open(2), in decimal. The exit status is 0, or the errno
// of the call that failed.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: openfile SOCKFD PATH MODE")
		os.Exit(int(unix.EINVAL))
	}
	err := openFile(os.Args[1], os.Args[2], os.Args[3])
	var errno unix.Errno
	if errors.As(err, &errno) {
		os.Exit(int(errno)) // mycat prints the error
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openfile:", err)
		os.Exit(int(unix.EINVAL))
	}
}

func openFile(sockText, path, modeText string) error {
	sock, err := strconv.Atoi(sockText)
	if err != nil {
		return err
	}
	mode, err := strconv.Atoi(modeText)
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, mode, 0)
	if err != nil {
		return err
	}
	_, err = scm.WriteFD(sock, []byte{0}, fd)
	return err
}
