package recorder

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// A Spool keeps calls in a file that has no name, so that a record takes little
// memory however large it is. Its Add is an Options.Handle.
type Spool struct {
	file  *os.File
	out   *bufio.Writer
	size  int64
	heads []head
	line  []byte
	err   error // the first; later ones are not kept
}

// NewSpool makes a file below os.TempDir. Close removes it, and so does the end of
// the process.
func NewSpool() (*Spool, error) {
	f, err := os.CreateTemp("", "scm-record")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Spool{file: f, out: bufio.NewWriterSize(f, 1<<18)}, nil
}

// Close gives the file back. Nothing of the Spool is used after it.
func (s *Spool) Close() error { return s.file.Close() }

// Len is how many calls it has.
func (s *Spool) Len() int { return len(s.heads) }

// Add keeps a call.
func (s *Spool) Add(c *Call) {
	if s.err != nil {
		return
	}
	s.line = appendStored(s.line[:0], c)
	n, err := s.out.Write(s.line)
	h := headOf(c)
	h.at, h.size = s.size, n
	s.heads = append(s.heads, h)
	s.size += int64(n)
	s.err = err
}

// First returns the difference of two records that was made first, as Diff and
// DiffSaid do with calls in memory; nil if there is none. Where there is none among
// the bytes that were recorded, and others were not, the error is an *Uncompared.
func (o Comparison) First(a, b *Spool) (*Difference, error) {
	for _, s := range []*Spool{a, b} {
		if s.err = cmp.Or(s.err, s.out.Flush()); s.err != nil {
			return nil, fmt.Errorf("keeping the record: %w", s.err)
		}
		slices.SortFunc(s.heads, func(a, b head) int { return a.seq - b.seq })
	}
	done := o.compare(newSide(a.heads, a.load), newSide(b.heads, b.load), true)
	for _, s := range []*Spool{a, b} {
		if s.err != nil {
			return nil, fmt.Errorf("reading the record: %w", s.err)
		}
	}
	if found := earliest(done.found); found != nil {
		return found, nil
	}
	if done.missed.Bytes > 0 || done.missed.Files > 0 {
		return nil, &done.missed
	}
	return nil, nil
}

// load reads a call again. After an error it is an empty one.
func (s *Spool) load(h *head) *Call {
	if cap(s.line) < h.size {
		s.line = make([]byte, h.size)
	}
	line := s.line[:h.size]
	if _, err := s.file.ReadAt(line, h.at); err != nil {
		s.err = cmp.Or(s.err, err)
		return &Call{Process: h.process, Arch: amd64}
	}
	r := stored{line}
	c := r.call()
	c.Process = h.process
	return c
}

// A head is what of a call decides which is compared with which.
type head struct {
	process *Process
	thread  int
	nr      uint64
	args    [6]uint64
	errno   syscall.Errno
	seq     int

	call *Call // of a record in memory
	at   int64 // of one in a file
	size int
}

func headOf(c *Call) head {
	return head{process: c.Process, thread: c.Thread, nr: c.Nr, args: c.Args, errno: c.Errno, seq: c.seq}
}

func headsOf(calls []Call) []head {
	heads := make([]head, len(calls))
	for i := range calls {
		heads[i] = headOf(&calls[i])
		heads[i].call = &calls[i]
	}
	return heads
}

func inMemory(h *head) *Call { return h.call }

var archs = []*Arch{amd64, i386, arm64}

// appendStored appends all of a call but its process.
func appendStored(b []byte, c *Call) []byte {
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	text := func(s string) { number(uint64(len(s))); b = append(b, s...) }
	truth := func(t bool) {
		if t {
			number(1)
		} else {
			number(0)
		}
	}
	number(uint64(slices.Index(archs, c.Arch)))
	number(uint64(c.Thread))
	number(c.Nr)
	for i := range c.Args {
		number(c.Args[i])
		number(c.args[i])
	}
	number(uint64(c.Section))
	number(uint64(c.Result))
	number(uint64(c.Errno))
	truth(c.Unfinished)
	if c.Unread == nil {
		text("")
	} else {
		text(c.Unread.Error())
	}
	number(uint64(c.seq))
	if c.sig == nil {
		text("")
	} else {
		text(c.sig.name)
	}
	number(uint64(len(c.Files)))
	for i := range c.Files {
		f := &c.Files[i]
		number(uint64(uint32(f.FD)))
		text(f.Kind)
		text(f.Name)
		text(f.inode)
		text(f.Access)
		truth(f.CloseOnExec)
		truth(f.AtExit)
		number(uint64(f.Errno))
	}
	for _, blobs := range [][]Blob{c.Entry, c.Exit} {
		number(uint64(len(blobs)))
		for i := range blobs {
			x := &blobs[i]
			number(uint64(x.What))
			number(uint64(x.Arg))
			number(uint64(x.Msg))
			number(uint64(x.Index))
			number(x.Addr)
			number(x.Size)
			// Most of it is at the exit what it was at the entry.
			same := i < len(c.Entry) && x != &c.Entry[i] && bytes.Equal(x.Data, c.Entry[i].Data)
			if truth(same); !same {
				number(uint64(len(x.Data)))
				b = append(b, x.Data...)
			}
			number(x.Rest.Size)
			text(x.Rest.Sum)
		}
	}
	return b
}

// stored is a call in a file, of which the beginning was read.
type stored struct{ rest []byte }

func (r *stored) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.rest = r.rest[size:]
	return n
}

func (r *stored) int() int { return int(r.number()) }

func (r *stored) bytes() []byte {
	n := r.int()
	b := bytes.Clone(r.rest[:n])
	r.rest = r.rest[n:]
	return b
}

func (r *stored) text() string { return string(r.bytes()) }

func (r *stored) call() *Call {
	c := &Call{Arch: archs[r.number()], Thread: r.int(), Nr: r.number()}
	for i := range c.Args {
		c.Args[i], c.args[i] = r.number(), r.number()
	}
	c.Section, c.Result, c.Errno = r.int(), int64(r.number()), syscall.Errno(r.number())
	c.Unfinished = r.number() != 0
	if text := r.text(); text != "" {
		c.Unread = errors.New(text)
	}
	c.seq = r.int()
	if name := r.text(); name != "" {
		c.sig = c.Arch.calls()[uint64(c.Arch.number(name))]
	}
	for range r.int() {
		c.Files = append(c.Files, File{FD: int32(r.number()), Kind: r.text(), Name: r.text(), inode: r.text(), Access: r.text(),
			CloseOnExec: r.number() != 0, AtExit: r.number() != 0, Errno: syscall.Errno(r.number())})
	}
	for _, blobs := range []*[]Blob{&c.Entry, &c.Exit} {
		for i := range r.int() {
			x := Blob{What: What(r.number()), Arg: r.int(), Msg: r.int(), Index: r.int(), Addr: r.number(), Size: r.number()}
			if r.number() != 0 {
				x.Data = c.Entry[i].Data
			} else {
				x.Data = r.bytes()
			}
			x.Rest = Rest{r.number(), r.text()}
			*blobs = append(*blobs, x)
		}
	}
	return c
}
