//go:build !(linux && cgo)

package main

// The loop that everything is held against is in C.
func main() { panic("bench: needs Linux and a C compiler") }
