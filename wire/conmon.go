package wire

import "strings"

// Conmon is the format of sendfd and recvfd in conmon. Early versions of runc also used it. It passes a
// file together with its name. conmon receives the master end of a container's terminal in this format.
//
// The format uses a stream socket. A message consists of the name (the text, at most 4095 bytes), a zero
// byte and one descriptor. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge
// messages.
//
// Recv treats the result of a single recvmsg(2) call as one message. It rejects a name of 4096 bytes or
// more, and a message that does not have exactly one descriptor. The name ends at a zero byte or at the end of the
// message, so Recv also accepts messages in the formats [Runc] and [Crun].
//
// See [Format] for who owns the descriptors on success and on error.
var Conmon Format = conmon{label{"conmon", "unix"}}

type conmon struct{ label }

// conmonName is TAG_BUFFER in conmon, the maximum length of the name including the zero byte.
const conmonName = 4096

func (f conmon) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if len(text) >= conmonName {
		return f.errorf("name is %d bytes long, but the format allows at most %d", len(text), conmonName-1)
	}
	if strings.ContainsRune(text, 0) {
		return f.errorf("name contains a zero byte")
	}
	return f.send(sock, []byte(text+"\x00"), fds, false)
}

func (f conmon) Recv(sock Socket) (text string, fds []int, err error) {
	p := make([]byte, conmonName)
	n, fds, err := f.recvText(sock, p, 1)
	if err != nil {
		return "", nil, err
	}
	name, _, _ := strings.Cut(string(p[:n]), "\x00")
	if len(name) >= conmonName {
		return "", nil, f.refuse(fds, "received name has %d bytes or more", conmonName)
	}
	return f.one(name, fds)
}
