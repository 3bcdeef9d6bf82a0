package wire

import "strings"

// Conmon is sendfd and recvfd of conmon, which runc once had too: a file and its
// name. conmon receives the master of a container's terminal so.
//
// Stream. The text is the name, at most 4095 bytes; a 0 byte follows it. One
// descriptor. Control of CMSG_SPACE. The receiver takes what one call gives and
// refuses any number of descriptors but one; the name ends at a 0 byte or with the
// message, so that the messages of [Runc] and [Crun] are understood too. No
// acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var Conmon Format = conmon{label{"conmon", "unix"}}

type conmon struct{ label }

// conmonName is conmon's TAG_BUFFER: the name and its 0 byte.
const conmonName = 4096

func (f conmon) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if len(text) >= conmonName {
		return f.errorf("a name of %d bytes, not at most %d", len(text), conmonName-1)
	}
	if strings.ContainsRune(text, 0) {
		return f.errorf("a 0 byte in the name")
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
	return f.one(name, fds)
}
