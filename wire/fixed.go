package wire

// A fixed is a stream format that sends one descriptor with a fixed payload. Recv does not check the
// contents of the payload that it receives, and neither do the programs.
type fixed struct {
	label
	payload  string
	unpadded bool // Send sets msg_controllen to CMSG_LEN instead of CMSG_SPACE
}

func (f fixed) Send(sock Socket, text string, fds ...int) error {
	if err := f.noText(text); err != nil {
		return err
	}
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	return f.send(sock, []byte(f.payload), fds, f.unpadded)
}

func (f fixed) Recv(sock Socket) (text string, fds []int, err error) {
	fds, err = f.recvFull(sock, make([]byte, len(f.payload)), 1)
	if err != nil {
		return "", nil, err
	}
	return f.one("", fds)
}
