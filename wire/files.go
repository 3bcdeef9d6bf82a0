package wire

import (
	"fmt"
	"os"

	"github.com/scm-rights/scm"
)

// SendFiles sends files with f.Send. The files still belong to the caller. If another goroutine closes one
// during the call, the file stays open until SendFiles returns. Errors are those of f.Send,
// [os.ErrInvalid] for a nil file and [os.ErrClosed] for a closed one. If a file is nil or closed, nothing is
// sent.
func SendFiles(f Format, sock Socket, text string, files ...*os.File) error {
	return holding(f, files, nil, func(fds []int) error { return f.Send(sock, text, fds...) })
}

// holding calls send with the descriptors of all files, which cannot be closed during the call.
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
		err = os.ErrClosed // the error of package os is unexported
	}
	return fmt.Errorf("wire: %s: file %d: %w", f.Name(), len(fds), err)
}

// RecvFiles receives files with f.Recv and makes them with [scm.NewFile]. The caller must close them.
// Errors are those of f.Recv and of NewFile. On error RecvFiles closes every descriptor that it received.
// After an error of NewFile, the message has been read whole, and the conversation can continue.
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
