package wire

// Runc is SendFile and RecvFile of runc (libcontainer/utils): a file and its
// name. runc sends the master of the container's terminal to a --console-socket
// so, with the name /dev/ptmx, and other files to its seccomp and pidfd sockets.
//
// Stream. The text is the name, 1 to 4095 bytes, without a terminator, and one
// descriptor. Control of CMSG_SPACE. The receiver takes what one call gives, and
// refuses a name of 4096 bytes or more, and any number of descriptors but one. No
// acknowledgement.
//
// The name has no end of its own: bytes that were sent before it, without a
// descriptor, are read as its beginning.
//
// [Format] says who owns descriptors, also on error.
var Runc Format = runc{label{"runc", "unix"}}

type runc struct{ label }

// runcName is runc's MaxNameLen: names are shorter.
const runcName = 4096

func (f runc) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if text == "" || len(text) >= runcName {
		return f.errorf("a name of %d bytes, not 1 to %d", len(text), runcName-1)
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
		return "", nil, f.refuse(fds, "the name has %d bytes or more", runcName)
	}
	return f.one(string(p[:n]), fds)
}
