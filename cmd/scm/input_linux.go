package main

import (
	"fmt"
	"io"
	"os"
)

// An input gives the same standard input to one command after the other. What comes from a
// pipe or a socket is first copied to a file without a name; a terminal or another device is
// handed on as it is.
type input struct {
	file   *os.File
	offset int64 // where its content begins; -1 if it cannot be read twice
}

func newInput(file *os.File) (*input, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		offset, err := file.Seek(0, io.SeekCurrent)
		return &input{file, offset}, err
	case info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0:
		return &input{file, -1}, nil
	}
	kept, err := os.CreateTemp("", "scm-input")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(kept.Name()); err != nil {
		return nil, err
	}
	_, err = io.Copy(kept, file)
	return &input{kept, 0}, err
}

// open returns what the next command reads: standard input itself, or a file for the caller to close.
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
