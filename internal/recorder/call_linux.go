package recorder

import (
	"fmt"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Process is one of the recorded tree.
type Process struct {
	PID      int
	parent   *Process // nil for a root
	birth    int      // as the how many-th child
	children int
}

// bear makes a child of p.
func (p *Process) bear(pid int) *Process {
	child := &Process{PID: pid}
	p.adopt(child)
	return child
}

// adopt makes a process that exists the youngest child of p.
func (p *Process) adopt(child *Process) {
	child.parent, child.birth = p, p.children
	p.children++
}

// A Call is one system call. What it is made of must not be changed.
type Call struct {
	Process *Process
	Thread  int // its number, as the tracer sees it
	Arch    *Arch
	Nr      uint64
	Args    [6]uint64 // the registers; those that are no arguments hold anything
	Section int       // 0 outside of marks

	Entry []Blob
	Exit  []Blob // the same memory at the exit; empty if there was none
	Files []File // the descriptors that the call names, sends or receives

	Result     int64         // -1 if it failed
	Errno      syscall.Errno // 0 if it did not
	Unfinished bool          // the thread ended, or was left alone, inside the call
	Unread     error         // why memory of the program could not be read at all

	seq  int        // the order of entries
	sig  *signature // nil if the call is not in the table
	args [6]uint64  // those of the call that socketcall stands for
}

// interrupted is the kernel's ERESTARTSYS and its kin: a signal arrived, and
// either the same call is made again or the program gets EINTR.
func interrupted(e syscall.Errno) bool { return e == 512 || e == 513 || e == 514 || e == 516 }

// Name is the call's, or its number. It is sendmsg for what socketcall makes of it.
func (c *Call) Name() string {
	if c.sig == nil {
		return "syscall " + strconv.FormatUint(c.Nr, 10)
	}
	return c.sig.name
}

// ViaSocketcall reports whether the call went through socketcall(2).
func (c *Call) ViaSocketcall() bool {
	return c.Arch == i386 && int(c.Nr) == socketcallNr
}

var socketcallNr = i386.number("socketcall")

// error is the errno by name, and empty if the call did not fail.
func (c *Call) error() string {
	switch {
	case c.Errno == 0:
		return ""
	case interrupted(c.Errno):
		return "interrupted"
	}
	return errnoName(c.Errno)
}

// What says what the bytes of a Blob are.
type What int

const (
	SocketcallArgs What = iota // the array of socketcall's arguments
	Header                     // msghdr or mmsghdr
	Iovecs                     // all of a message
	Payload                    // what one iovec points to
	Address                    // msg_name
	Control                    // msg_control
	Buffer                     // what an argument points to
)

func (w What) String() string {
	return [...]string{"socketcall's arguments", "msghdr", "iovec", "payload", "msg_name", "control", "memory"}[w]
}

// A Blob is memory of the program.
type Blob struct {
	What  What
	Arg   int    // of the call that points to it
	Msg   int    // in the array of sendmmsg and recvmmsg
	Index int    // of the iovec
	Addr  uint64 // where it is
	Size  uint64 // how long the program says it is
	Data  []byte // what could be read, and no more than Options.Limit
	Sum   string // at the exit, of a payload, the SHA-256 of what is behind Data; see Options.Sum
}

// find returns nil if there is no such memory.
func find(blobs []Blob, what What, msg, index int) *Blob {
	for i := range blobs {
		if b := &blobs[i]; b.What == what && b.Msg == msg && b.Index == index {
			return b
		}
	}
	return nil
}

// buffer is the memory of argument arg.
func buffer(blobs []Blob, arg int) *Blob {
	for i := range blobs {
		if b := &blobs[i]; b.What == Buffer && b.Arg == arg {
			return b
		}
	}
	return nil
}

// data is what was recorded; nil stands for none.
func (b *Blob) data() []byte {
	if b == nil {
		return nil
	}
	return b.Data
}

// messages is how many headers were recorded.
func (c *Call) messages() (n int) {
	for i := range c.Entry {
		if c.Entry[i].What == Header {
			n++
		}
	}
	return n
}

// done is how many of its messages the kernel has sent or received.
func (c *Call) done() int {
	switch {
	case c.Errno != 0 || c.Unfinished || c.sig.messages() < 0:
		return 0
	case c.many():
		return min(int(c.Result), c.messages())
	}
	return 1
}

// many reports whether the call is sendmmsg or recvmmsg.
func (c *Call) many() bool {
	i := c.sig.messages()
	return i >= 0 && c.sig.args[i].kind == argMmsg
}

// header is the layout of the call's message headers.
func (c *Call) header() layout { return c.Arch.msghdr(c.many()) }

// bytes is how many bytes of message i the kernel has sent or received.
func (c *Call) bytes(i int) int {
	switch {
	case i >= c.done():
		return 0
	case c.many():
		return int(c.header().uint(find(c.Exit, Header, i, 0).data(), "msg_len"))
	}
	return int(c.Result)
}

// file is what the number was at the entry, or is at the exit for one that
// the call has made; nil if that was not looked up.
func (c *Call) file(fd int32, atExit bool) *File {
	for i := range c.Files {
		if f := &c.Files[i]; f.FD == fd && f.AtExit == atExit {
			return f
		}
	}
	return nil
}

// flags is the argument that has them.
func (c *Call) flags() uint32 {
	for i, a := range c.sig.args {
		if a.kind == argFlags {
			return uint32(c.args[i])
		}
	}
	return 0
}

func (c *Call) String() string {
	return fmt.Sprintf("%d %s", c.Thread, c.Text())
}

// Whole reports whether all that counts of the call could be read and looked up. What the
// kernel could not read either (EFAULT) does not count.
func (c *Call) Whole() bool {
	for i := range c.Files {
		if c.Files[i].Errno != 0 {
			return false
		}
	}
	if c.Unread != nil {
		return false
	}
	for i := range c.messages() {
		for _, b := range []*Blob{find(c.Entry, Header, i, 0), find(c.Entry, Iovecs, i, 0), find(c.Entry, Payload, i, 0)} {
			if b != nil && b.Size > 0 && len(b.Data) == 0 && c.Errno != unix.EFAULT {
				return false
			}
		}
		if c.controlUnread(i) > 0 && c.Errno != unix.EFAULT {
			return false
		}
	}
	return true
}
