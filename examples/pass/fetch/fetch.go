// Command fetch prints the file that serve sends.
package main

import (
	"context"
	"io"
	"log"
	"os"

	"github.com/scm-rights/scm"
)

func fetch(ctx context.Context) error {
	conn, err := scm.Dial(ctx, "unix", "socket")
	if err != nil {
		return err
	}
	defer conn.Close()
	file, err := conn.RecvFile()
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(os.Stdout, file)
	return err
}

func main() {
	if err := fetch(context.Background()); err != nil {
		log.Fatal(err)
	}
}
