// Package csrc is the C library behind package scm, as a Go package.
//
// Its C files are a library of their own: scm_rights.h is the contract, and the
// Makefile beside it builds libscm_rights for C programs. Go programs use package scm.
//
// In a Go program the C functions have names of their own (cgo_names.h) and are
// hidden: read_fd and write_fd are left to the program, to its shared libraries,
// or to libscm_rights. A program with two copies of this module, as of a fork under
// another path, does not link with cgo: the copies have the same names. Build it
// with the tag purego.
//
// A batch needs about 80 KiB of C stack in a Go program: 44 KiB for the C function,
// the rest for the list of buffers. One message with more than SCM_CGO_SOME buffers
// needs about 40 KiB. With less the process ends with SIGSEGV. It matters for a C
// thread that calls Go, and where ulimit -s is below 128.
//
// Without cgo the package is empty. csrc.go carries the tag cgo and no other:
// with C files in the folder, the go tool refuses any narrower one.
package csrc
