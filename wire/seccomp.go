package wire

import "github.com/scm-rights/scm"

// SeccompListener is the format in which an OCI runtime sends a container's seccomp notify descriptor, and
// other descriptors, to the listenerPath of a seccomp filter.
//
// The format uses a stream socket. A message consists of the state (the text, a JSON object of at most 1
// MiB) and 1 to 253 descriptors. The state is the ContainerProcessState of the OCI runtime specification.
// Its "fds" array contains a name for each descriptor. The name of the notify descriptor is "seccompFd".
// Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge messages. A runtime closes the
// socket after it has sent the message.
//
// Recv skips white space before the object and reads up to its closing brace. It rejects a message if the
// number of names differs from the number of descriptors, or if a name is not a string.
//
// See [Format] for who owns the descriptors on success and on error.
var SeccompListener Format = object{label{"seccomp-listener", "unix"}, scm.MaxFDs, true}
