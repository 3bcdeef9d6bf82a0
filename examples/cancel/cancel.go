//go:build unix

// Command cancel receives files until it is interrupted.
//
//	cancel SOCKET
//
// It prints the name and size of each file that clients send with SendFile. A client has a second to send the next
// one. SIGINT and SIGTERM end a call that waits, and the command removes its socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: cancel SOCKET")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	if err := run(ctx, os.Args[1]); !errors.Is(err, context.Canceled) {
		log.Fatal("cancel: ", err)
	}
}

// run serves one client after the other until ctx is done.
func run(ctx context.Context, path string) error {
	l, err := scm.Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // which removes the socket
	fmt.Println("listening at", path)
	l = l.WithContext(ctx)
	for {
		conn, err := l.AcceptConn()
		if err != nil {
			return err
		}
		err = serve(ctx, conn)
		_ = conn.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != io.EOF {
			log.Print("client: ", err)
		}
	}
}

func serve(ctx context.Context, conn *scm.Conn) error {
	for {
		f, err := recvFile(ctx, conn)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		fmt.Printf("%q: %d bytes\n", f.Name(), info.Size())
	}
}

// recvFile waits at most a second, and not after ctx is done.
func recvFile(ctx context.Context, conn *scm.Conn) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return conn.WithContext(ctx).RecvFile()
}
