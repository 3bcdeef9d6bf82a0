package tracecmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// An input provides the same standard input to several commands in turn. If standard input is a pipe, a
// socket or a file that scm may not open again, newInput first copies the rest of it to an unnamed file. A
// terminal or other device is passed to each command unchanged.
type input struct {
	file   *os.File
	offset int64 // where the input starts; -1 if it cannot be read twice
}

func newInput(file *os.File) (*input, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		in := &input{file, offset}
		again, err := in.open()
		if !errors.Is(err, fs.ErrPermission) {
			_ = again.Close()
			return in, err
		}
	case info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0:
		return &input{file, -1}, nil
	}
	copied, err := os.CreateTemp("", "scm-input")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(copied.Name()); err != nil {
		return nil, err
	}
	_, err = io.Copy(copied, file)
	return &input{copied, 0}, err
}

// open returns the standard input for the next command. It is either scm's own standard input or a
// file that the caller must close.
func (in *input) open() (*os.File, error) {
	if in.offset < 0 {
		return in.file, nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", in.file.Fd()))
	if err == nil {
		_, err = f.Seek(in.offset, io.SeekStart)
	}
	return f, err
}
