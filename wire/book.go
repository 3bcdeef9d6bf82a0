package wire

// Book is the format of write_fd and read_fd in Stevens' UNIX Network Programming (UNP) §15.7, as its
// programs and many others use them. The functions themselves are scm.WriteFD and scm.ReadFD.
//
// The socket is a stream. A message is 1 to 4096 bytes of text and one descriptor. Send sends an empty text
// as one zero byte, like the programs in UNP, and Recv returns one zero byte as an empty text.
// msg_controllen is CMSG_SPACE. There is no acknowledgement.
//
// Recv returns what one recvmsg receives. A message without a descriptor is not an error, as in UNP: fds is
// then empty.
//
// See [Format] for who owns the descriptors, on success and on error.
var Book Format = book{label{"book", "unix"}}

type book struct{ label }

// bookText is the size of Recv's buffer, MAXLINE in UNP.
const bookText = 4096

func (f book) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if len(text) > bookText {
		return f.errorf("text is %d bytes long, but the format allows at most %d", len(text), bookText)
	}
	if text == "" {
		text = "\x00"
	}
	return f.send(sock, []byte(text), fds, false)
}

func (f book) Recv(sock Socket) (text string, fds []int, err error) {
	p := make([]byte, bookText)
	n, fds, err := f.recvText(sock, p, 1)
	if err != nil {
		return "", nil, err
	}
	if text = string(p[:n]); text == "\x00" {
		text = ""
	}
	return text, fds, nil
}
