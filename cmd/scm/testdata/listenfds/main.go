// Program listenfds prints what the environment says about the descriptors that it was passed, and the contents of the
// first one.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
)

func main() {
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		fmt.Printf("LISTEN_PID is %q in process %d\n", pid, os.Getpid())
		os.Exit(1)
	}
	fmt.Println(os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"))
	if _, err := io.Copy(os.Stdout, os.NewFile(3, "first")); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
