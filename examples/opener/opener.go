//go:build linux

// Opener opens the files of a folder for a user ("opener SOCKET FOLDER USER"), or prints one ("opener SOCKET NAME").
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
)

// serve answers the processes of a user until ctx is done.
func serve(ctx context.Context, socket, folder, user string) error {
	root, err := os.OpenRoot(folder) // no name leads out of it
	if err != nil {
		return err
	}
	defer root.Close()
	check := func(conn *scm.Conn) error {
		peer, err := conn.PeerCred()
		if err == nil && strconv.Itoa(peer.UID) != user {
			err = fmt.Errorf("user %d may not ask", peer.UID)
			_, _ = conn.Write([]byte(err.Error()))
		}
		return err
	}
	l, err := scm.Config{Mode: 0o666, Check: check}.Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		conn, err := l.WithContext(ctx).AcceptConn()
		switch {
		case err == nil:
			go answer(conn, root)
		case ctx.Err() != nil:
			return nil
		default: // the descriptor table is full
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// answer sends the file that the client names or, if there is none, the reason.
func answer(conn *scm.Conn, root *os.Root) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	name, err := io.ReadAll(io.LimitReader(conn, 4096)) // receives no files
	if err != nil {
		return
	}
	f, err := open(root, string(name))
	if err != nil {
		_, _ = conn.Write([]byte(err.Error()))
		return
	}
	defer f.Close()
	if _, err := conn.WriteFiles([]byte("ok"), f); err != nil {
		log.Print(err)
	}
}

// open opens a regular file. With O_NONBLOCK, a FIFO does not block it.
func open(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("not a regular file"), err, f.Close())
	}
	return f, nil
}

// receive prints the file that the server sends. It does not trust the server either.
func receive(ctx context.Context, socket, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	want := scm.Expect{Max: 1, Kind: scm.KindRegular, Access: scm.AccessReadOnly}
	conn, err := scm.Config{Expect: &want}.Dial(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn = conn.WithContext(ctx)
	_, sent := conn.Write([]byte(name)) // fails if Check has rejected this user
	_ = conn.CloseWrite()               // the end of the name
	p := make([]byte, 256)
	n, files, err := conn.ReadFiles(p, 1)
	if err != nil {
		return errors.Join(err, sent)
	}
	if len(files) == 0 {
		return fmt.Errorf("refused: %q", p[:n])
	}
	defer files[0].Close()
	_, err = io.Copy(os.Stdout, files[0])
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	err := errors.New("usage: opener SOCKET FOLDER USER, or opener SOCKET NAME")
	switch len(os.Args) {
	case 4:
		err = serve(ctx, os.Args[1], os.Args[2], os.Args[3])
	case 3:
		err = receive(ctx, os.Args[1], os.Args[2])
	}
	if err != nil {
		log.Fatal(err)
	}
}
