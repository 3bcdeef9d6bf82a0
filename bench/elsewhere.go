//go:build !(linux && cgo)

package main

import (
	"fmt"
	"os"
)

// The loop that everything is held against is in C.
func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux and a C compiler")
	os.Exit(2)
}
