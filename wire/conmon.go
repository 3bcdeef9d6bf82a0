package wire

import "strings"

// Conmon is the format of sendfd and recvfd in conmon, which receives the master end of a container's
// terminal. The payload is the file's name (the text, at most 4095 bytes) and a zero byte.
//
// Recv treats what one recvmsg(2) call received as one message. The zero byte may be missing, so Recv also
// accepts [Runc] and [Crun].
var Conmon Format = conmon{label{"conmon", "unix"}}

// Early versions of runc also used the format of conmon.
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
