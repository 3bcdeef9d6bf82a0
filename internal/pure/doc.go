// Package pure is the Go backend of package scm: what csrc does, without C.
//
// It is always compiled, so that it can be compared with csrc in one process.
// On Linux it makes the same system calls as csrc, with the same bytes. The
// other Unix systems are reached through golang.org/x/sys/unix, which adds a
// byte to an empty payload; elsewhere every function says ErrUnsupported.
//
// WriteFD and ReadFD have descriptors as int32, as the kernel has them. A message has
// ints, of which one that does not fit an int32 is sent as -1. Errors are bare errnos.
package pure

// FDLost is what ReadFD returns in place of a descriptor when more than one descriptor
// was received, or MSG_CTRUNC is set: it closes all of them. Without either, and
// without a descriptor, ReadFD returns -1.
const FDLost = -2
