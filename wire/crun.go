package wire

// Crun is the format in which crun sends the master end of a container's terminal to a --console-socket.
// The payload is one space. To receive from both runc and crun, use [Conmon].
var Crun Format = fixed{label{"crun", "unix"}, " ", false}
