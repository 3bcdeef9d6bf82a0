package wire

import (
	"fmt"
	"os"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// SendFiles sends files with f.Send. The caller still owns the files. They stay open during the call, even
// if another goroutine closes one. If a file is nil or closed, the error wraps [os.ErrInvalid] or
// [os.ErrClosed], and nothing is sent. Other errors are those of f.Send.
func SendFiles(f Format, sock Socket, text string, files ...*os.File) error {
	return holding(f, files, func(fds []int) error { return f.Send(sock, text, fds...) })
}

// holding calls send with the descriptors of all files and keeps them open during the call.
func holding(f Format, files []*os.File, send func(fds []int) error) error {
	i, err := sys.Hold(files, send)
	if i < len(files) {
		err = fmt.Errorf("wire: %s: file %d: %w", f.Name(), i, err)
	}
	return err
}

// RecvFiles receives descriptors with f.Recv and creates files from them with [scm.NewFile]. The caller
// must close the files. Errors are those of f.Recv and NewFile. On error, RecvFiles closes every received
// descriptor.
func RecvFiles(f Format, sock Socket) (text string, files []*os.File, err error) {
	text, fds, err := f.Recv(sock)
	for i, fd := range fds {
		file, err := scm.NewFile(fd, "received")
		if err != nil {
			for _, file := range files {
				_ = file.Close()
			}
			scm.CloseFDs(fds[i:]...)
			return "", nil, fmt.Errorf("wire: %s: descriptor %d: %w", f.Name(), i, err)
		}
		files = append(files, file)
	}
	return text, files, err
}
