//go:build linux

// Command opener prints files that it has no permission to open. opener.py starts it and opens the files for it.
//
//	python3 opener.py FOLDER USER opener NAME…
//
// opener.py appends the descriptor of the socket to the arguments.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"

	"github.com/scm-rights/scm"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: opener NAME… SOCKET")
	}
	last := len(os.Args) - 1
	if err := run(os.Args[last], os.Args[1:last]); err != nil {
		log.Fatal("opener: ", err)
	}
}

func run(socket string, names []string) error {
	fd, err := strconv.Atoi(socket)
	if err != nil {
		return err
	}
	// Accept only a regular file: reading from a FIFO or a terminal could block forever.
	config := scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindRegular, Access: scm.AccessReadOnly}}
	conn, err := config.NewConnFD(fd)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, name := range names {
		if err := show(conn, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func show(conn *scm.Conn, name string) error {
	if _, err := conn.Write([]byte(name)); err != nil {
		return err
	}
	answer := make([]byte, 256)
	n, files, err := conn.ReadFiles(answer, 1)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("the helper refused: %s", answer[:n])
	}
	_, err = io.Copy(os.Stdout, files[0])
	return errors.Join(err, files[0].Close())
}
