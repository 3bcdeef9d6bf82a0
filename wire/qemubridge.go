package wire

// QEMUBridgeHelper is the format in which qemu-bridge-helper sends the descriptor of a new TAP device. The
// program attaches the device to a bridge for a process that may not do so itself. It sends the descriptor
// on the socket whose descriptor is in the option --fd.
//
// The format uses a stream socket. A message consists of one zero byte and one descriptor. The text to send
// must be empty. Send sets msg_controllen to CMSG_LEN. The receiver does not acknowledge messages. Recv
// accepts any byte, not only zero. If the helper fails, it closes the stream without a message, and Recv
// returns io.EOF.
//
// See [Format] for who owns the descriptors on success and on error.
var QEMUBridgeHelper Format = fixed{label{"qemu-bridge-helper", "unix"}, "\x00", true}
