package wire

import (
	"encoding/binary"

	"github.com/scm-rights/scm"
)

// SkalibsAncil is ancil_send_fd and ancil_recv_fd of skalibs.
//
// Stream. The text is one byte, which the two ends have agreed on, and one
// descriptor. Control of CMSG_SPACE. skalibs' receiver refuses another byte than
// the one that its caller expects: here Recv returns it, for the caller to
// compare. Any number of descriptors but one is refused. No acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var SkalibsAncil Format = ancil{label{"skalibs-ancil", "unix"}}

type ancil struct{ label }

func (f ancil) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if len(text) != 1 {
		return f.errorf("text of %d bytes, not 1", len(text))
	}
	return f.send(sock, []byte(text), fds, false)
}

func (f ancil) Recv(sock Socket) (text string, fds []int, err error) {
	var p [1]byte
	fds, err = f.recvFull(sock, p[:], 1)
	if err != nil {
		return "", nil, err
	}
	return f.one(string(p[:]), fds)
}

// SkalibsUnixmessage is unixmessage of skalibs, which s6-fdholder and other
// programs of skarnet.org speak.
//
// Stream. The length of the text in four bytes and the number of descriptors in
// two, both big-endian; then the text, at most 256 MiB. 0 to 253 descriptors go
// with the first byte. Control of CMSG_SPACE, and none without descriptors. The
// receiver refuses a longer text, and a number that is not that of the descriptors
// received with the six bytes. No acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var SkalibsUnixmessage Format = unixmessage{label{"skalibs-unixmessage", "unix"}}

type unixmessage struct{ label }

const (
	unixmessageHead = 6
	unixmessageText = 1 << 28 // UNIXMESSAGE_MAXSIZE

	// unixmessageStep is how much memory is set aside before more of a text has
	// come: its length is the partner's word.
	unixmessageStep = 65536
)

func (f unixmessage) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 0, scm.MaxFDs); err != nil {
		return err
	}
	if len(text) > unixmessageText {
		return f.errorf("text of %d bytes, not at most %d", len(text), unixmessageText)
	}
	payload := make([]byte, 0, unixmessageHead+len(text))
	payload = binary.BigEndian.AppendUint32(payload, uint32(len(text)))
	payload = binary.BigEndian.AppendUint16(payload, uint16(len(fds)))
	return f.send(sock, append(payload, text...), fds, false)
}

func (f unixmessage) Recv(sock Socket) (text string, fds []int, err error) {
	var head [unixmessageHead]byte
	fds, err = f.recvFull(sock, head[:], scm.MaxFDs)
	if err != nil {
		return "", nil, err
	}
	length, number := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint16(head[4:])
	if length > unixmessageText {
		return "", nil, f.refuse(fds, "text of %d bytes, not at most %d", length, unixmessageText)
	}
	if int(number) != len(fds) {
		return "", nil, f.refuse(fds, "%d descriptors came, and the number %d", len(fds), number)
	}
	var got []byte
	for left := int(length); left > 0; left = int(length) - len(got) {
		step := make([]byte, min(left, unixmessageStep))
		if _, err := f.recvFull(sock, step, 0); err != nil {
			closeAll(fds)
			return "", nil, f.insideOf(len(head), err)
		}
		got = append(got, step...)
	}
	return string(got), fds, nil
}
