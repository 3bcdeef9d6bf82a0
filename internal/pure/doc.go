// Package pure is the Go backend of package scm. It does the same as csrc, without C.
//
// The package is always compiled, so that tests can compare it with csrc in one process.
// On Linux it makes the same system calls as csrc, with the same bytes. pure_posix.go is for
// other Unix systems. On some of them it makes system calls too (call_direct.go). On the
// others it uses golang.org/x/sys/unix, which adds a byte to an empty payload, so it rejects
// messages that this would change (call_libc.go). On all other systems (pure_none.go) every
// function returns ErrUnsupported. Package sys lists what the second parts of file names mean.
//
// WriteFD and ReadFD take and return descriptors as int32, like the kernel. A message has
// ints, and a value that does not fit an int32 is sent as -1. Errors are bare errnos.
package pure

// FDLost is the value that ReadFD returns instead of a descriptor if it received more than
// one descriptor or MSG_CTRUNC is set. ReadFD then closes all of them. If no descriptor was
// received, ReadFD returns -1.
const FDLost = -2
