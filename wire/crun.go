package wire

// Crun is the format in which crun sends the master end of a container's terminal to a --console-socket.
//
// The format uses a stream socket. A message consists of one space and one descriptor. The text to send
// must be empty. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge messages. Recv
// accepts any byte, not only a space. To receive from both runc and crun, use [Conmon].
//
// See [Format] for who owns the descriptors on success and on error.
var Crun Format = fixed{label{"crun", "unix"}, " ", false}
