//go:build linux

// Command console receives a container's terminal from runc or crun, and prints everything that is written to it.
//
//	console SOCKET
//
// It copies its standard input to the terminal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: console SOCKET")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal("console: ", err)
	}
}

func run(path string) error {
	terminal, err := receive(path)
	if err != nil {
		return err
	}
	go func() { _, _ = io.Copy(terminal, os.Stdin) }()
	// Reads fail with EIO after the last process in the container has closed the terminal.
	if _, err := io.Copy(os.Stdout, terminal); err != nil && !errors.Is(err, unix.EIO) {
		return err
	}
	return nil
}

// receive waits for a runtime to connect to path, and returns the terminal that the runtime sends.
func receive(path string) (*os.File, error) {
	l, err := scm.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	conn, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}

	_, fds, err := wire.Conmon.Recv(conn) // also understands runc and crun
	if err != nil {
		return nil, err
	}
	terminals := scm.Expect{Min: 1, Max: 1, Kind: scm.KindCharDevice, Access: scm.AccessReadWrite}
	if err := terminals.Enforce(fds); err != nil {
		return nil, err
	}
	// Only a terminal has a window size.
	if _, err := unix.IoctlGetWinsize(fds[0], unix.TIOCGWINSZ); err != nil {
		return nil, errors.Join(fmt.Errorf("not a terminal: %w", err), unix.Close(fds[0]))
	}
	terminal, err := scm.NewFile(fds[0], "terminal")
	if err != nil {
		return nil, errors.Join(err, unix.Close(fds[0]))
	}
	return terminal, nil
}
