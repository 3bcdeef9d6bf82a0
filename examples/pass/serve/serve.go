// Command serve sends the file go.mod of the current directory to the first client of a Unix socket.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/scm-rights/scm"
)

func serve(ctx context.Context) error {
	file, err := os.Open("go.mod")
	if err != nil {
		return err
	}
	defer file.Close()
	l, err := scm.Listen(ctx, "unix", "socket")
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	fmt.Println("listening")
	conn, err := l.AcceptConn()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.SendFile("go.mod", file)
}

func main() {
	if err := serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}
