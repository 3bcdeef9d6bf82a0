// Pass sends an open file ("pass FILE"), or receives one and prints it ("pass").
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/scm-rights/scm"
)

func send(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	l, err := scm.Listen(ctx, "unix", "socket")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println("listening")
	conn, err := l.WithContext(ctx).AcceptConn()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.SendFile(name, f) // f stays open
}

func receive(ctx context.Context) error {
	conn, err := scm.Dial(ctx, "unix", "socket")
	if err != nil {
		return err
	}
	defer conn.Close()
	f, err := conn.WithContext(ctx).RecvFile() // a new descriptor
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var err error
	if len(os.Args) > 1 {
		err = send(ctx, os.Args[1])
	} else {
		err = receive(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
}
