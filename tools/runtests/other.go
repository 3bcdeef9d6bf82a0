//go:build !linux

// Command runtests runs the tests, on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "runtests: on systems other than Linux, run: make test-portable")
	os.Exit(1)
}
