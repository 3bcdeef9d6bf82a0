// Package pure is the Go backend of package scm: what csrc does, without C.
//
// It is always compiled, so that it can be compared with csrc in one process.
// On Linux it makes the same system calls as csrc, with the same bytes. The
// other Unix systems are reached through golang.org/x/sys/unix, which adds a
// byte to an empty payload; elsewhere every function says ErrUnsupported.
//
// Descriptors are int32, as the kernel has them. Errors are bare errnos.
package pure

// FDLost is what ReadFD returns in place of a descriptor when control was cut
// or when not exactly one descriptor came, and all were closed.
const FDLost = -2
