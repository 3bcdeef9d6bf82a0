package wire

// Crun is what crun sends to a --console-socket: the master of the container's
// terminal.
//
// Stream. One space and one descriptor; no text. Control of CMSG_SPACE. The
// receiver needs one byte, and does not look at it. No acknowledgement. A
// receiver that must understand both runtimes uses [Conmon].
//
// [Format] says who owns descriptors, also on error.
var Crun Format = fixed{label{"crun", "unix"}, " "}
