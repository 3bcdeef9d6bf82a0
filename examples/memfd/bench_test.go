//go:build linux

package main

import (
	"errors"
	"io"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// A reader copies the data and answers. It arrives in a stream, in a memfd of its own, or in one that both keep mapped.
func BenchmarkTransfer(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		data, received := make([]byte, size), make([]byte, size)
		fd, kept := shared(b, size, -1)
		defer scm.CloseFDs(fd)
		for name, way := range map[string]struct{ send, fetch func(c *scm.Conn) error }{
			"stream": {
				func(c *scm.Conn) error { _, err := c.Write(data); return err },
				func(c *scm.Conn) error { _, err := io.ReadFull(c, received); return err },
			},
			"new": {
				func(c *scm.Conn) error {
					fd, memory := shared(b, size, -1)
					copy(memory, data)
					_, err := c.WriteFDs([]byte{0}, fd)
					return errors.Join(err, unix.Munmap(memory), unix.Close(fd))
				},
				func(c *scm.Conn) error {
					fds := make([]int, 1)
					if _, _, err := c.ReadFDs(make([]byte, 1), fds); err != nil {
						return err
					}
					_, memory := shared(b, size, fds[0])
					copy(received, memory)
					return errors.Join(unix.Munmap(memory), unix.Close(fds[0]))
				},
			},
			"kept": {
				func(c *scm.Conn) error { copy(kept, data); _, err := c.Write([]byte{0}); return err },
				func(c *scm.Conn) error {
					_, err := c.Read(make([]byte, 1))
					copy(received, kept)
					return err
				},
			},
		} {
			b.Run(strconv.Itoa(size>>10)+"KiB/"+name, func(b *testing.B) { transfer(b, way.send, way.fetch) })
		}
	}
}

// transfer measures one message and its answer.
func transfer(b *testing.B, send, fetch func(c *scm.Conn) error) {
	ours, theirs, err := scm.Pair("unix")
	if err != nil {
		b.Fatal(err)
	}
	defer ours.Close()
	go func() {
		defer theirs.Close()
		for fetch(theirs) == nil {
			if _, err := theirs.Write([]byte{0}); err != nil {
				return
			}
		}
	}()
	for b.Loop() {
		err := send(ours)
		if err == nil {
			_, err = ours.Read(make([]byte, 1))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// shared maps a memfd, which it creates if fd is -1.
func shared(b *testing.B, size, fd int) (int, []byte) {
	var err error
	if fd < 0 {
		if fd, err = unix.MemfdCreate("shared", unix.MFD_CLOEXEC); err == nil {
			err = unix.Ftruncate(fd, int64(size))
		}
	}
	memory, unmapped := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, unmapped); err != nil {
		b.Error(err)
	}
	return fd, memory
}
