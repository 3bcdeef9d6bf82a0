package wire

// Book is the format of write_fd and read_fd in Stevens' UNIX Network Programming (UNP) §15.7, which many
// programs use. [scm.WriteFD] and [scm.ReadFD] are the functions themselves. The payload is the text (1 to
// 4096 bytes). A single zero byte stands for an empty text.
//
// Recv returns what one recvmsg(2) call received. As in UNP, fds may be empty.
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
