// Port is the helper of c/port.c in Go. The parent in C starts it with a socket as descriptor 3.
package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/scm-rights/scm"
)

func main() {
	if err := helper(3); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

func helper(sock int) error {
	name := make([]byte, 1023)
	for {
		n, fd, err := scm.ReadFD(sock, name)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		if fd < 0 {
			return errors.New("received no log")
		}
		log, err := scm.NewFile(fd, "log")
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(log, "open %s\n", name[:n])
		_ = log.Close()
		f, err := os.Open(string(name[:n]))
		if err != nil {
			return err
		}
		if _, err := scm.WriteFD(sock, []byte{0}, int(f.Fd())); err != nil {
			return err
		}
		_ = f.Close()
	}
}
