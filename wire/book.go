package wire

// Book is the format in which the programs in Stevens' UNIX Network Programming (UNP) §15.7, and many
// others, pass descriptors with write_fd and read_fd. For the two functions themselves, see scm.WriteFD and
// scm.ReadFD.
//
// The format uses a stream socket. A message consists of the text (1 to 4096 bytes) and one descriptor. If
// the text is empty, Send sends a single zero byte, like the programs in UNP. If Recv receives a single
// zero byte, it returns an empty text. Send sets msg_controllen to CMSG_SPACE. The receiver does not
// acknowledge messages.
//
// Recv returns the result of a single recvmsg(2) call. As in UNP, a message without a descriptor is not an
// error. In that case, fds is empty.
//
// See [Format] for who owns the descriptors on success and on error.
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
