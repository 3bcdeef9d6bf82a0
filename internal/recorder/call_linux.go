package recorder

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
)

// A Process is one of the recorded tree.
type Process struct {
	PID      int
	parent   *Process // nil for a root
	birth    int      // as the how many-th child, or root
	children int
	escapes  []string // what was reported of it
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
	Exit  []Blob // the same memory at the exit, but see Options.Brief; empty if there was none
	Files []File // the descriptors that the call names, sends or receives

	Result     int64         // -1 if it failed
	Errno      syscall.Errno // 0 if it did not
	Unfinished bool          // the thread ended, or was left alone, inside the call, or seccomp refused it by a signal
	Unread     error         // why memory of the program could not be read at all

	seq  int        // the order of entries
	sig  *signature // nil if the call is not in the table
	args [6]uint64  // those of the call that socketcall stands for

	index map[fileKey]int // where in Files
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
	Rest  Rest   // at the exit, of a payload
}

// A Rest is what Options.Rest keeps of a payload: of the bytes behind Data those
// that the kernel has sent or received.
type Rest struct {
	Size uint64 // how many of them could be read
	Sum  string // their SHA-256
}

// place orders the memory of messages as captureMessages does: the headers, the
// arrays of iovecs, and then message by message address, control data and payloads.
func (b *Blob) place() [4]int {
	switch b.What {
	case Header:
		return [4]int{1, b.Msg}
	case Iovecs:
		return [4]int{2, b.Msg}
	case Address, Control:
		return [4]int{3, b.Msg, int(b.What - Address)}
	case Payload:
		return [4]int{3, b.Msg, 2, b.Index}
	}
	return [4]int{}
}

// search returns where the memory is, or would be, of which that is the place.
func search(blobs []Blob, place [4]int) (at int, found bool) {
	return slices.BinarySearchFunc(blobs, place, func(b Blob, place [4]int) int {
		own := b.place()
		return slices.Compare(own[:], place[:])
	})
}

// find returns nil if there is no such memory.
func find(blobs []Blob, what What, msg, index int) *Blob {
	if what == SocketcallArgs || what == Buffer {
		for i := range blobs {
			if blobs[i].What == what {
				return &blobs[i]
			}
		}
		return nil
	}
	b := Blob{What: what, Msg: msg, Index: index}
	if at, found := search(blobs, b.place()); found {
		return &blobs[at]
	}
	return nil
}

// ofMessage is the address, the control data and the payloads of a message.
func ofMessage(blobs []Blob, msg int) []Blob {
	first, _ := search(blobs, [4]int{3, msg})
	end, _ := search(blobs, [4]int{3, msg + 1})
	return blobs[first:end]
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

// missing is how many of the first size bytes were neither recorded nor summed.
func missing(b *Blob, size uint64) uint64 {
	return size - min(size, uint64(len(b.Data))+b.Rest.Size)
}

// data is what was recorded; nil stands for none.
func (b *Blob) data() []byte {
	if b == nil {
		return nil
	}
	return b.Data
}

// messages is how many headers were recorded.
func (c *Call) messages() int {
	first, _ := search(c.Entry, [4]int{1})
	end, _ := search(c.Entry, [4]int{2})
	return end - first
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
	for len(c.index) < len(c.Files) {
		if c.index == nil {
			c.index = make(map[fileKey]int, len(c.Files))
		}
		f := &c.Files[len(c.index)]
		c.index[fileKey{f.FD, f.AtExit}] = len(c.index)
	}
	if i, ok := c.index[fileKey{fd, atExit}]; ok {
		return &c.Files[i]
	}
	return nil
}

// A fileKey is what no two Files of a call share.
type fileKey struct {
	fd     int32
	atExit bool
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
