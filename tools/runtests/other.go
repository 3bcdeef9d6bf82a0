//go:build !linux

// Command runtests runs the plans of the tests on Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "runtests: the tests that other systems than Linux have are those of: make test-portable")
	os.Exit(1)
}
