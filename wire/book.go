package wire

// Book is write_fd and read_fd of Stevens' UNIX Network Programming §15.7, as
// the book's programs and many others use them. scm.WriteFD and scm.ReadFD are
// the functions themselves.
//
// Stream. The sender's bytes, at most 4096, and one descriptor; an empty text is
// one 0 byte, which is what the book's programs send, and comes back as an empty
// text. Control of CMSG_SPACE. The receiver takes what one call gives. No
// descriptor is no error, as in the book: fds is then empty. No acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var Book Format = book{label{"book", "unix"}}

type book struct{ label }

// bookText is the most that Recv has room for: the book's MAXLINE.
const bookText = 4096

func (f book) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	if len(text) > bookText {
		return f.errorf("text of %d bytes, not at most %d", len(text), bookText)
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
