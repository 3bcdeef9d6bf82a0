package wire

import "github.com/scm-rights/scm"

// SeccompListener is what an OCI runtime sends to the listenerPath of a seccomp filter:
// where the container's processes ask, and other descriptors.
//
// Stream. The text is the ContainerProcessState of the runtime specification, one JSON
// object of at most 1 MiB, and 1 to 253 descriptors, each with its name in the array fds:
// "seccompFd" is the listener. Control of CMSG_SPACE. The receiver takes the object to its
// last brace, without white space around it, and refuses a number of names that is not that
// of the descriptors. No acknowledgement. The runtimes close the socket behind it.
//
// [Format] says who owns descriptors, also on error.
var SeccompListener Format = object{label{"seccomp-listener", "unix"}, scm.MaxFDs, true}
