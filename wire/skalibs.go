package wire

import (
	"encoding/binary"

	"github.com/scm-rights/scm"
)

// SkalibsAncil is the format of ancil_send_fd and ancil_recv_fd in skalibs. The payload is a single byte
// (the text), whose value the sender and receiver must agree on. ancil_recv_fd rejects any other byte.
// Recv returns the byte that it received, and the caller must check it.
var SkalibsAncil Format = ancil{label{"skalibs-ancil", "unix"}}

type ancil struct{ label }

func (f ancil) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if len(text) != 1 {
		return f.errorf("text is %d bytes long, want 1", len(text))
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

// SkalibsUnixmessage is the format of unixmessage in skalibs, which s6-fdholder and other programs from
// skarnet.org use. The payload is the length of the text in four bytes, the number of descriptors (0 to
// 253) in two, both big-endian, and the text (at most 256 MiB). Recv checks the number. It can take 1.15
// GB of memory for the longest text.
var SkalibsUnixmessage Format = unixmessage{label{"skalibs-unixmessage", "unix"}}

type unixmessage struct{ label }

const (
	unixmessageHead = 6
	unixmessageText = 1 << 28 // UNIXMESSAGE_MAXSIZE

	// unixmessageStep limits how much memory Recv allocates ahead of the bytes received, because the
	// partner can announce any length.
	unixmessageStep = 65536
)

func (f unixmessage) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 0, scm.MaxFDs); err != nil {
		return err
	}
	if len(text) > unixmessageText {
		return f.errorf("text is %d bytes long, but the format allows at most %d", len(text), unixmessageText)
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
		return "", nil, f.refuse(fds, "message announces %d bytes of text, but the format allows at most %d", length, unixmessageText)
	}
	if int(number) != len(fds) {
		return "", nil, f.refuse(fds, "received %s, but the message announces %d", plural(len(fds), "descriptor"), number)
	}
	var got []byte
	for left := int(length); left > 0; left = int(length) - len(got) {
		step := make([]byte, min(left, unixmessageStep))
		if _, err := f.recvFull(sock, step, 0); err != nil {
			scm.CloseFDs(fds...)
			return "", nil, f.insideOf(len(head), err)
		}
		got = append(got, step...)
	}
	return string(got), fds, nil
}
