package recorder

import "golang.org/x/sys/unix"

// scmPIDFD is SCM_PIDFD of linux/socket.h, and scmSecurity SCM_SECURITY.
const (
	scmSecurity = 0x03
	scmPIDFD    = unix.SCM_PIDFD
)

// A Cmsg is one control message. Its parts lie one behind the other.
type Cmsg struct {
	Offset  int // of the header, in the control buffer
	Len     uint64
	Level   int32
	Type    int32
	Header  []byte
	Data    []byte
	Padding []byte // up to where the next one can begin
}

// parseControl cuts a control buffer into its messages. The rest is what
// follows the last one, and from the first on that is not well-formed.
func parseControl(a *Arch, b []byte) (list []Cmsg, rest []byte) {
	l := a.cmsghdr()
	for off := 0; ; {
		left := b[off:]
		if len(left) < l.size() {
			return list, left
		}
		m := Cmsg{
			Offset: off,
			Len:    l.uint(left, "cmsg_len"),
			Level:  int32(l.uint(left, "cmsg_level")),
			Type:   int32(l.uint(left, "cmsg_type")),
			Header: left[:l.size()],
		}
		if m.Len < uint64(l.size()) || m.Len > uint64(len(left)) {
			return list, left
		}
		end := min(a.align(int(m.Len)), len(left))
		m.Data, m.Padding = left[l.size():m.Len], left[m.Len:end]
		list = append(list, m)
		off += end
	}
}

// descriptors are those of SCM_RIGHTS, and the one of SCM_PIDFD.
func (m *Cmsg) descriptors() (fds []int32) {
	if m.Level != unix.SOL_SOCKET || m.Type != unix.SCM_RIGHTS && m.Type != scmPIDFD {
		return nil
	}
	for b := m.Data; len(b) >= 4; b = b[4:] {
		fds = append(fds, int32(order.Uint32(b)))
	}
	return fds
}

// maxRights is SCM_MAX_FD: the kernel refuses a message with more descriptors.
const maxRights = 253

// firstDescriptors are those of the control data of one message, up to as many as it can
// pass: those of SCM_RIGHTS, and the pidfd that the kernel adds to them. A program can write
// a number of any length into it.
func firstDescriptors(a *Arch, control []byte) (fds []int32) {
	list, _ := parseControl(a, control)
	rights, pidfds := maxRights, 1
	for _, m := range list {
		left := &rights
		if m.Type == scmPIDFD {
			left = &pidfds
		}
		passed := m.descriptors()
		passed = passed[:min(len(passed), *left)]
		*left -= len(passed)
		fds = append(fds, passed...)
	}
	return fds
}

// sent is the control data that the call hands to the kernel with message i.
func (c *Call) sent(i int) []byte {
	if c.sig.receives() {
		return nil
	}
	return find(c.Entry, Control, i, 0).data()
}

// received is the control data that the kernel has written for message i.
func (c *Call) received(i int) []byte {
	if !c.sig.receives() || i >= c.done() {
		return nil
	}
	b := find(c.Exit, Control, i, 0).data()
	return b[:min(uint64(len(b)), c.header().uint(find(c.Exit, Header, i, 0).data(), "msg_controllen"))]
}

// receivedFlags is msg_flags as the kernel has left it.
func (c *Call) receivedFlags(i int) uint32 {
	if !c.sig.receives() || i >= c.done() {
		return 0
	}
	return uint32(c.header().uint(find(c.Exit, Header, i, 0).data(), "msg_flags"))
}

// controlUnread is how many bytes of the control data of message i, sent or
// received, could not be read.
func (c *Call) controlUnread(i int) uint64 {
	b := find(c.Entry, Control, i, 0)
	switch {
	case b == nil, c.sig.receives() && i >= c.done():
		return 0
	case c.sig.receives():
		b = find(c.Exit, Control, i, 0)
		length := c.header().uint(find(c.Exit, Header, i, 0).data(), "msg_controllen")
		return max(min(b.Size, length), uint64(len(b.Data))) - uint64(len(b.Data))
	}
	return b.Size - uint64(len(b.Data))
}

// headerUnread reports whether the header of message i could not be read.
func (c *Call) headerUnread(i int) bool {
	return len(find(c.Entry, Header, i, 0).data()) < c.header().size()
}

// Ancillary reports whether the call carries control data: it sends some, or
// some was received, or the kernel reports that some was truncated. Control data that could
// not be read counts, and so does a message whose header could not be.
func (c *Call) Ancillary() bool {
	for i := range c.messages() {
		if len(c.sent(i)) > 0 || len(c.received(i)) > 0 || c.receivedFlags(i)&unix.MSG_CTRUNC != 0 ||
			c.controlUnread(i) > 0 || c.headerUnread(i) && (c.Exit == nil || i < c.done()) {
			return true
		}
	}
	return false
}
