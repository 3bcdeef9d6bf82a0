package wire

import "github.com/scm-rights/scm"

// SeccompListener is the format in which an OCI runtime sends a container's seccomp notify descriptor, and
// other descriptors, to the listenerPath of a seccomp filter.
//
// The socket is a stream. The text is the ContainerProcessState of the OCI runtime specification, a JSON
// object of at most 1 MiB. A message has 1 to 253 descriptors. The array "fds" of the object has a name for
// each of them. The name of the notify descriptor is "seccompFd". msg_controllen is CMSG_SPACE. There is no
// acknowledgement. A runtime closes the socket after the message.
//
// Recv reads up to the last brace of the object and skips white space before it. It rejects a message in
// which the numbers of names and descriptors differ.
//
// See [Format] for who owns the descriptors, on success and on error.
var SeccompListener Format = object{label{"seccomp-listener", "unix"}, scm.MaxFDs, true}
