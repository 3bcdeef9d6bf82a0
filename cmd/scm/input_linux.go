package main

import (
	"io"
	"os"
	"sync"
)

// An input gives the same standard input to one command after the other. A
// regular file is opened for each, and a terminal or another device is handed
// on as it is. What is read from a pipe or a socket is kept in a file
// without a name, and given to each through a pipe of its own.
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
		if in.kept, err = newKept(); err == nil {
			go in.kept.fill(file)
		}
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

// failed is why not all of the input could be kept; nil if it was, so far.
func (in *input) failed() error {
	if in.kept == nil {
		return nil
	}
	in.kept.mu.Lock()
	defer in.kept.mu.Unlock()
	return in.kept.err
}

// kept is what was read so far.
type kept struct {
	mu   sync.Mutex
	more sync.Cond
	file *os.File
	size int64
	end  bool
	err  error // of the file
}

func newKept() (*kept, error) {
	f, err := os.CreateTemp("", "scm-input")
	if err != nil {
		return nil, err
	}
	k := &kept{file: f}
	k.more.L = &k.mu
	return k, os.Remove(f.Name())
}

func (k *kept) fill(from *os.File) {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		_, failed := k.file.WriteAt(buf[:n], k.size) // of size this is the only writer
		k.mu.Lock()
		if k.err = failed; failed == nil {
			k.size += int64(n)
		}
		k.end = err != nil || failed != nil
		end := k.end
		k.more.Broadcast()
		k.mu.Unlock()
		if end {
			return
		}
	}
}

// copy writes all from the beginning, as it is read. It ends with the input, or
// when to is closed.
func (k *kept) copy(to *os.File) {
	for at := int64(0); ; {
		k.mu.Lock()
		for at == k.size && !k.end {
			k.more.Wait()
		}
		size, end := k.size, k.end
		k.mu.Unlock()
		n, err := io.Copy(to, io.NewSectionReader(k.file, at, size-at))
		at += n
		if err != nil || end && at == size {
			_ = to.Close()
			return
		}
	}
}
