package main

import (
	"io"
	"os"
	"sync"
)

// An input gives the same standard input to one command after the other. A
// regular file is opened for each, and a terminal or another device is handed
// on as it is. What comes through a pipe or a socket is kept, and given to each
// through a pipe of its own.
type input struct {
	file   *os.File
	offset int64 // of a regular file; -1 if it is none
	kept   *kept // of a pipe
	opened []*os.File
}

func newInput(file *os.File) (*input, error) {
	in := &input{file: file, offset: -1}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case info.Mode().IsRegular():
		in.offset, err = file.Seek(0, io.SeekCurrent)
	case info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0:
		in.kept = &kept{}
		in.kept.more.L = &in.kept.mu
		go in.kept.fill(file)
	}
	return in, err
}

// open returns what the next command reads, until close.
func (in *input) open() (*os.File, error) {
	switch {
	case in.kept != nil:
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		in.opened = append(in.opened, r, w)
		go in.kept.copy(w)
		return r, nil
	case in.offset >= 0:
		f, err := os.Open("/proc/self/fd/0")
		if err != nil {
			return nil, err
		}
		in.opened = append(in.opened, f)
		_, err = f.Seek(in.offset, io.SeekStart)
		return f, err
	}
	return in.file, nil
}

func (in *input) close() {
	for _, f := range in.opened {
		_ = f.Close() // by now nobody reads it
	}
	in.opened = nil
}

// kept is what was read so far.
type kept struct {
	mu   sync.Mutex
	more sync.Cond
	text []byte
	end  bool
}

func (k *kept) fill(from *os.File) {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		k.mu.Lock()
		k.text = append(k.text, buf[:n]...)
		k.end = err != nil
		k.more.Broadcast()
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// copy writes all from the beginning, as it comes. It ends with the input, or
// when to is closed.
func (k *kept) copy(to *os.File) {
	for at := 0; ; {
		k.mu.Lock()
		for at == len(k.text) && !k.end {
			k.more.Wait()
		}
		text, end := k.text[at:], k.end
		k.mu.Unlock()
		n, err := to.Write(text)
		at += n
		if err != nil || end && n == len(text) {
			_ = to.Close()
			return
		}
	}
}
