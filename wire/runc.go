package wire

// Runc is the format of SendFile and RecvFile in runc (libcontainer/utils up to v1.5, internal/cmsg since). It passes a
// file together with its name. runc sends the master end of a container's terminal, with the name /dev/ptmx, or
// /dev/pts/ptmx since 1.2.8, 1.3.3 and 1.4.0, to a --console-socket in this format, and other files to its seccomp and
// pidfd sockets.
//
// The format uses a stream socket. A message consists of the name (the text, 1 to 4095 bytes without a
// terminator) and one descriptor. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge
// messages.
//
// Recv treats the result of a single recvmsg(2) call as one message. It rejects a name of 4096 bytes or
// more, and a message that does not have exactly one descriptor. Because the name has no terminator, Recv
// reads bytes that were sent before it without a descriptor as the beginning of the name.
//
// See [Format] for who owns the descriptors on success and on error.
var Runc Format = runc{label{"runc", "unix"}}

type runc struct{ label }

// runcName is MaxNameLen in runc. A name must be shorter than this.
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
