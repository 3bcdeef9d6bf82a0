package wire

import "github.com/scm-rights/scm"

// SeccompListener is the format in which an OCI runtime sends a container's seccomp notify descriptor to
// the listenerPath of a seccomp filter. The payload is the ContainerProcessState (the text, a JSON object
// of at most 1 MiB). Its "fds" array has a name for each of the 1 to 253 descriptors, such as "seccompFd".
// Recv reads it as in [QMP]. The runtime then closes the socket.
var SeccompListener Format = object{label{"seccomp-listener", "unix"}, scm.MaxFDs, true}
