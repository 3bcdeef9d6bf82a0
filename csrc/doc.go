// Package csrc makes the C library behind package scm available as a Go package.
// Go programs should use package scm.
//
// The C files are also a library for C programs, libscm_rights. scm_rights.h is its
// contract, and the Makefile in this directory builds it.
//
// In a Go program, the C functions are hidden and have different names (see
// cgo_names.h). The names read_fd and write_fd remain free for the program, its shared
// libraries or libscm_rights. A program with two copies of this module, such as a fork
// under another path, does not link with cgo, because both copies define the same
// names. Build it with the tag purego.
//
// In a Go program, a batch needs about 80 KiB of C stack: 44 KiB for the C function
// and the rest for the list of buffers. One message with more than SCM_CGO_SOME buffers
// needs about 40 KiB. If the stack is smaller, the process is killed by SIGSEGV. This
// matters for C threads that call Go, and if ulimit -s is below 128.
//
// Without cgo the package is empty. csrc.go has the build tag cgo and no other, because
// the go command rejects any narrower tag in a directory with C files.
package csrc
