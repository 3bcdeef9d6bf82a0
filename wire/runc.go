package wire

// Runc is the format of SendFile and RecvFile in runc, which sends a container's terminal to a
// --console-socket, and other files to its seccomp and pidfd sockets. The payload is the file's name (the
// text, 1 to 4095 bytes).
//
// Recv treats what one recvmsg(2) call received as one message. Bytes sent earlier become part of the
// name.
var Runc Format = runc{label{"runc", "unix"}}

type runc struct{ label }

// runcName is MaxNameLen in runc (libcontainer/utils up to v1.5, internal/cmsg since). A name must be shorter
// than this.
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
