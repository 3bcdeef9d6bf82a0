package wire

// Runc is the format of SendFile and RecvFile in runc (libcontainer/utils). It passes a file and its name.
// runc uses it to send the master of a container's terminal to a --console-socket, with the name /dev/ptmx,
// and to send other files to its seccomp and pidfd sockets.
//
// The socket is a stream. A message is the name, which is the text, and one descriptor. The name has 1 to
// 4095 bytes and no terminator. msg_controllen is CMSG_SPACE. There is no acknowledgement.
//
// Recv takes what one recvmsg receives as a message. It rejects a name of 4096 bytes or more, and a message
// that does not have exactly one descriptor. Because the name has no terminator, bytes sent before it
// without a descriptor are read as the beginning of the name.
//
// See [Format] for who owns the descriptors, on success and on error.
var Runc Format = runc{label{"runc", "unix"}}

type runc struct{ label }

// runcName is MaxNameLen in runc. Names are shorter than this.
const runcName = 4096

func (f runc) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if text == "" || len(text) >= runcName {
		return f.errorf("name is %d bytes long, want 1 to %d", len(text), runcName-1)
	}
	return f.send(sock, []byte(text), fds, false)
}

func (f runc) Recv(sock Socket) (text string, fds []int, err error) {
	p := make([]byte, runcName)
	n, fds, err := f.recvText(sock, p, 1)
	if err != nil {
		return "", nil, err
	}
	if n >= runcName {
		return "", nil, f.refuse(fds, "received name has %d bytes or more", runcName)
	}
	return f.one(string(p[:n]), fds)
}
