// Package csrc makes the C library behind package scm available as a Go package.
// Go programs should use package scm.
//
// The Makefile in this directory also builds the same C files as libscm_rights, a
// library for C programs, whose contract is in scm_rights.h.
//
// In a Go program, the C functions are hidden and have different names (see cgo_names.h). The
// program, its shared libraries and libscm_rights can therefore use the names read_fd and
// write_fd. A program that contains two copies of this module, such as a fork under another
// path, does not link with cgo, because both copies define the same names. Build such a
// program with the tag scm_purego.
//
// In a Go program, a message with more than SCM_CGO_SOME buffers needs about 40 KiB of C
// stack. If the stack is smaller, SIGSEGV kills the process. This can happen on C threads
// that call Go, and if ulimit -s is below 128.
//
// Without cgo, the package is empty. The only build tag of csrc.go is cgo, because the go
// command rejects any narrower constraint in a directory with C files.
package csrc
