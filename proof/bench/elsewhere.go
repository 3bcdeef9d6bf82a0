//go:build !(linux && cgo)

package main

// The loop with which everything is compared is in C.
func main() { panic("bench: needs Linux and a C compiler") }
