package wire

import (
	"fmt"
	"os"

	"github.com/scm-rights/scm"
)

// SendFiles is f.Send of files. They stay the caller's, and open until SendFiles returns: a
// Close of one meanwhile takes effect then. Errors are those of f.Send, [os.ErrInvalid] for a
// nil file and [os.ErrClosed] for a closed one; then nothing was sent.
func SendFiles(f Format, sock Socket, text string, files ...*os.File) error {
	return holding(f, files, nil, func(fds []int) error { return f.Send(sock, text, fds...) })
}

// holding calls send with the numbers of all files while they are held.
func holding(f Format, files []*os.File, fds []int, send func(fds []int) error) error {
	if len(fds) == len(files) {
		return send(fds)
	}
	raw, err := files[len(fds)].SyscallConn()
	if err == nil {
		var sent error
		if raw.Control(func(fd uintptr) { sent = holding(f, files, append(fds, int(fd)), send) }) == nil {
			return sent
		}
		err = os.ErrClosed // package os's own has no name
	}
	return fmt.Errorf("wire: %s: file %d: %w", f.Name(), len(fds), err)
}

// RecvFiles is f.Recv of files, which are as [scm.NewFile] makes them, and the caller's to
// close. Errors are those of f.Recv and of NewFile; then every descriptor that was received
// is closed.
func RecvFiles(f Format, sock Socket) (text string, files []*os.File, err error) {
	text, fds, err := f.Recv(sock)
	for i, fd := range fds {
		file, err := scm.NewFile(fd, "received")
		if err != nil {
			for _, file := range files {
				_ = file.Close()
			}
			closeAll(fds[i:])
			return "", nil, fmt.Errorf("wire: %s: descriptor %d: %w", f.Name(), i, err)
		}
		files = append(files, file)
	}
	return text, files, err
}
