package recorder

import (
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Process is a process in the recorded process tree.
type Process struct {
	PID      int
	program  string   // the path of what it has executed; empty if that is not known
	parent   *Process // nil for a root
	order    int      // its place among the children of its parent
	children int
}

// newChild adds a child to p.
func (p *Process) newChild(pid int) *Process {
	child := &Process{PID: pid, program: p.program}
	p.addChild(child)
	return child
}

// addChild makes an existing process the youngest child of p.
func (p *Process) addChild(child *Process) {
	child.parent, child.order = p, p.children
	p.children++
}

// path returns the place of the process in the tree: 0, 1 is the second child of the first root.
func (p *Process) path() []int {
	if p.parent == nil {
		return []int{p.order}
	}
	return append(p.parent.path(), p.order)
}

// A Call is one system call, decoded. Its fields must not be changed.
type Call struct {
	Process *Process
	Program string // the path of what the process had executed; empty if that is not known
	Thread  int    // the thread ID, in the tracer's PID namespace
	Arch    *Arch
	Nr      uint64 // the system call number on Arch
	Section int    // 0 outside of marks

	Registers [6]uint64 // the argument registers; the call may not use all of them
	Args      []uint64  // the arguments, which socketcall takes from memory; none of an unknown call
	Files     []File    // the socket, and the descriptors that the call sends or receives

	Entry Snapshot // the memory that the arguments point to, before the call
	Exit  Snapshot // the same memory after it; empty if the call did not return

	Result     int64         // -1 if the call failed
	Errno      syscall.Errno // 0 if it did not fail
	Unfinished bool          // the thread ended or was detached inside the call
	Unread     error         // why the memory of the program could not be read at all

	seq int        // the order of entries and exits
	end int        // the same for its exit
	sig *signature // nil if the call is not in the table
}

// interrupted reports whether e is ERESTARTSYS or a related error, which only the kernel and
// tracers see: a signal arrived, and the call is either made again or fails with EINTR.
func interrupted(e syscall.Errno) bool { return e == 512 || e == 513 || e == 514 || e == 516 }

// Name returns the name of the call, such as "sendmsg", even if the program made it through
// socketcall. For an unknown call, it returns "syscall" followed by the system call number.
func (c *Call) Name() string {
	if c.sig == nil {
		return "syscall " + strconv.FormatUint(c.Nr, 10)
	}
	return c.sig.name
}

// ViaSocketcall reports whether the program made a call with messages through socketcall(2).
func (c *Call) ViaSocketcall() bool { return c.Entry.SocketcallArgs != nil }

// isSocketcall reports whether the call is socketcall(2), before decodeSocketcall has replaced its signature.
func (c *Call) isSocketcall() bool { return c.sig != nil && c.sig.name == "socketcall" }

// hasMessages reports whether the call is sendmsg, recvmsg, sendmmsg or recvmmsg.
func (c *Call) hasMessages() bool { return c.sig.hasMessages() }

// receives reports whether the call receives messages.
func (c *Call) receives() bool { return c.sig.receives() }

// batch reports whether the call is sendmmsg or recvmmsg.
func (c *Call) batch() bool { return c.hasMessages() && c.sig.params[1] == argMmsg }

// headerLayout returns the layout of the call's message headers.
func (c *Call) headerLayout() layout { return c.Arch.msghdr(c.batch()) }

// transferred returns how many of its messages the call has sent or received.
func (c *Call) transferred() int {
	switch {
	case c.Errno != 0 || c.Unfinished || !c.hasMessages():
		return 0
	case c.batch():
		return min(int(c.Result), len(c.Entry.Messages))
	}
	return 1
}

// message returns message i as it was sent or received: at the entry of a call that sends, at
// the exit of a call that receives.
func (c *Call) message(i int) *Message {
	if c.receives() {
		return &c.Exit.Messages[i]
	}
	return &c.Entry.Messages[i]
}

// received reports whether message i was received.
func (c *Call) received(i int) bool { return c.receives() && i < c.transferred() }

// flags returns the argument of a call with messages that contains the MSG_ flags.
func (c *Call) flags() uint32 { return uint32(c.Args[slices.Index(c.sig.params, argFlags)]) }

// timespec returns the layout of the timeout of a call with messages, and nil if it has none.
func (c *Call) timespec() layout {
	switch {
	case len(c.Args) <= timeoutAt || c.Args[timeoutAt] == 0:
		return nil
	case c.sig.params[timeoutAt] == argTimeout64:
		return layouts[8].timespec
	}
	return layouts[c.Arch.word].timespec
}

// timeoutAt is the index of the timeout in the arguments.
const timeoutAt = 4

// file returns the description of a descriptor at the entry of the call. If atExit is true, it
// returns the description of a descriptor that the call received. It returns nil if
// the descriptor was not looked up.
func (c *Call) file(fd int32, atExit bool) *File {
	for i := range c.Files {
		if f := &c.Files[i]; f.FD == fd && f.AtExit == atExit {
			return f
		}
	}
	return nil
}

// OnOtherSocket reports whether the first argument is known to be a socket other than a Unix
// socket. A call on such a socket passes no descriptors.
func (c *Call) OnOtherSocket() bool {
	f := c.file(c.socket(), false)
	return f != nil && strings.HasSuffix(f.Kind, " socket")
}

// socket returns the descriptor on which a call with messages is made.
func (c *Call) socket() int32 { return int32(c.Args[0]) }

// Ancillary reports whether the call sends or receives control data, or the kernel reported that
// it truncated control data. It also returns true if control data or a message header could not
// be read.
func (c *Call) Ancillary() bool {
	returned := len(c.Exit.Messages) > 0
	for i := range c.Entry.Messages {
		if c.Entry.Messages[i].headerUnread() && (!returned || i < c.transferred()) {
			return true
		}
		if c.receives() && !c.received(i) {
			continue
		}
		m := c.message(i)
		if len(m.Control.used()) > 0 || m.Control.unread() > 0 || m.ReceivedFlags&unix.MSG_CTRUNC != 0 {
			return true
		}
	}
	return false
}
