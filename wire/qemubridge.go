package wire

// QEMUBridgeHelper is the format in which qemu-bridge-helper sends the descriptor of a new TAP device,
// which it has attached to a bridge. It uses the socket whose descriptor is in the option --fd. The
// payload is one zero byte. Send sets msg_controllen to CMSG_LEN. If the helper fails, Recv returns
// io.EOF.
var QEMUBridgeHelper Format = fixed{label{"qemu-bridge-helper", "unix"}, "\x00", true}
