// Package csrc is the C library behind package scm, as a Go package.
//
// Its C files are a library of their own: scm.h is the contract, and the
// Makefile beside it builds libscm for C programs. Go programs use package scm.
//
// Without cgo the package is empty. csrc.go carries the tag cgo and no other:
// with C files in the folder, the go tool refuses any narrower one.
package csrc
