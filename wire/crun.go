package wire

// Crun is the format in which crun sends the master of a container's terminal to a --console-socket.
//
// The socket is a stream. A message is one space and one descriptor. Send accepts no text.
// msg_controllen is CMSG_SPACE. There is no acknowledgement. Recv accepts any byte. To receive from both
// runc and crun, use [Conmon].
//
// See [Format] for who owns the descriptors, on success and on error.
var Crun Format = fixed{label{"crun", "unix"}, " "}
