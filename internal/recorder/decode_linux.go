package recorder

import "golang.org/x/sys/unix"

// decodeEntry reads the memory that the arguments point to, at the entry of the call, and
// decodes it.
func (c *Call) decodeEntry(r *reader) {
	if c.isSocketcall() {
		c.decodeSocketcall(r)
	}
	if c.hasMessages() {
		c.readMessages(r)
	}
	c.decode(&c.Entry, false)
}

// decodeExit reads the same memory again, at the exit of the call, and decodes it. It uses the
// addresses and lengths from the entry, even if the call has changed a header.
func (c *Call) decodeExit(r *reader) {
	c.Exit = c.Entry.clone()
	c.read(r, c.Exit.memory())
	c.decode(&c.Exit, true)
	if !r.sum {
		return
	}
	for i := range c.Exit.Messages {
		m := &c.Exit.Messages[i]
		left := uint64(m.Bytes)
		for j := range m.Payload {
			part := &m.Payload[j]
			transferred := min(part.Size, left)
			left -= transferred
			if transferred > uint64(len(part.Data)) {
				part.addSum(c.Thread, transferred)
			}
		}
	}
}

// decodeSocketcall replaces the signature and the arguments with those of the call that
// socketcall performs, if it is one of the recorded calls.
func (c *Call) decodeSocketcall(r *reader) {
	m := &Memory{Kind: SocketcallArgs, Addr: c.Args[1], Size: 6 * uint64(c.Arch.word)}
	c.read(r, []*Memory{m})
	name := socketcalls[uint64(uint32(c.Args[0]))]
	if name == "" {
		return
	}
	c.sig = c.Arch.calls()[uint64(c.Arch.syscallNumber(name))]
	// Drop the memory after the last argument, which the call does not use.
	m.Size = uint64(c.Arch.word * len(c.sig.params))
	m.Data = m.Data[:min(len(m.Data), int(m.Size))]
	c.Args = make([]uint64, len(c.sig.params))
	for i := range c.Args {
		c.Args[i] = integer(Field{Offset: i * c.Arch.word, Size: c.Arch.word}, m.Data)
	}
	c.Entry.SocketcallArgs = m
}

// readMessages reads the headers and the timeout, then the iovecs, then the memory that these point to.
func (c *Call) readMessages(r *reader) {
	array, count := c.Args[1], 1
	if c.batch() {
		count = int(min(uint64(uint32(c.Args[2])), maxVector))
	}
	c.Entry.Messages = make([]Message, count)
	memory := func(kind MemoryKind, message int, addr, size uint64) Memory {
		return Memory{Kind: kind, Message: message, Addr: addr, Size: size}
	}

	size := uint64(c.headerLayout().size())
	var headers, iovecs, pointees []*Memory
	if l := c.timespec(); l != nil {
		c.Entry.Timeout = &Memory{Kind: Timeout, Addr: c.Args[timeoutAt], Size: uint64(l.size())}
		headers = append(headers, c.Entry.Timeout)
	}
	for i := range c.Entry.Messages {
		m := &c.Entry.Messages[i]
		addr := uint64(0)
		if array != 0 {
			addr = array + uint64(i)*size
		}
		m.Header.Memory = memory(Header, i, addr, size)
		headers = append(headers, &m.Header.Memory)
	}
	c.read(r, headers)

	for i := range c.Entry.Messages {
		m := &c.Entry.Messages[i]
		m.Header.decode(c.headerLayout())
		count := min(m.Header.IovLen, maxVector)
		m.Iovecs = memory(Iovecs, i, m.Header.Iov, count*uint64(c.Arch.iovec().size()))
		iovecs = append(iovecs, &m.Iovecs)
	}
	c.read(r, iovecs)

	for i := range c.Entry.Messages {
		m := &c.Entry.Messages[i]
		if n := m.Header.NameLen; int32(n) > 0 {
			m.Address = memory(Address, i, m.Header.Name, n)
		}
		m.Control.Memory = memory(ControlData, i, m.Header.ControlPtr, m.Header.ControlLen)
		iovec := c.Arch.iovec()
		for b := m.Iovecs.Data; len(b) >= iovec.size(); b = b[iovec.size():] {
			part := memory(Payload, i, iovec.uint(b, "iov_base"), iovec.uint(b, "iov_len"))
			part.Iovec = len(m.Payload)
			m.Payload = append(m.Payload, part)
		}
		pointees = append(pointees, m.pointees()...)
	}
	c.read(r, pointees)
}

// decode fills in everything that follows from the bytes of a snapshot.
func (c *Call) decode(s *Snapshot, atExit bool) {
	for i := range s.Messages {
		m := &s.Messages[i]
		m.Header.decode(c.headerLayout())
		if atExit && i < c.transferred() {
			m.Bytes = int(c.Result)
			if c.batch() {
				m.Bytes = int(m.Header.MsgLen)
			}
		}
		if c.receives() {
			m.decodeReceived(atExit && i < c.transferred())
		} else {
			m.Address.Used, m.Control.Used = m.Address.Size, m.Control.Size
			for j := range m.Payload {
				m.Payload[j].Used = m.Payload[j].Size
			}
		}
		control := m.Control.used()
		if !atExit {
			control = m.Control.Data // before a receive, whatever the program left in the buffer
		}
		m.Control.Cmsgs, m.Control.Rest = parseControl(c.Arch, control)
	}
}

// decodeReceived determines how much of the message's memory the kernel has filled. It does nothing
// if the message was not received.
func (m *Message) decodeReceived(received bool) {
	if !received {
		return
	}
	m.ReceivedFlags = m.Header.Flags
	m.Address.Used, m.Control.Used = m.Header.NameLen, m.Header.ControlLen
	left := uint64(m.Bytes)
	for j := range m.Payload {
		m.Payload[j].Used = min(m.Payload[j].Size, left)
		left -= m.Payload[j].Used
	}
}

// decode reads the fields of the structure.
func (h *Msghdr) decode(l layout) {
	h.Name, h.NameLen = l.uint(h.Data, "msg_name"), l.uint(h.Data, "msg_namelen")
	h.Iov, h.IovLen = l.uint(h.Data, "msg_iov"), l.uint(h.Data, "msg_iovlen")
	h.ControlPtr, h.ControlLen = l.uint(h.Data, "msg_control"), l.uint(h.Data, "msg_controllen")
	h.Flags, h.MsgLen = uint32(l.uint(h.Data, "msg_flags")), l.uint(h.Data, "msg_len")
}

// parseControl splits control data into its messages. The returned rest begins at the first
// malformed message, or after the last message if none is malformed.
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
		if m.isRights() || m.isPIDFD() {
			for fd := m.Data; len(fd) >= 4; fd = fd[4:] {
				m.FDs = append(m.FDs, int32(order.Uint32(fd)))
			}
		}
		list = append(list, m)
		off += end
	}
}

// scmSecurity is SCM_SECURITY of linux/socket.h, which golang.org/x/sys does not define.
const scmSecurity = 0x03

func (m *Cmsg) isRights() bool { return m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_RIGHTS }

func (m *Cmsg) isPIDFD() bool { return m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_PIDFD }

func (m *Cmsg) isCredentials() bool {
	return m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_CREDENTIALS
}

func (m *Cmsg) isSecurity() bool { return m.Level == unix.SOL_SOCKET && m.Type == scmSecurity }

// Credentials contains the fields of a struct ucred.
type Credentials struct{ PID, UID, GID int32 }

// credentials decodes SCM_CREDENTIALS. It returns false for any other message, and for a
// structure that the kernel truncated.
func (m *Cmsg) credentials() (c Credentials, ok bool) {
	if !m.isCredentials() || len(m.Data) != unix.SizeofUcred {
		return c, false
	}
	word := func(i int) int32 { return int32(order.Uint32(m.Data[4*i:])) }
	return Credentials{word(0), word(1), word(2)}, true
}

// maxRights is SCM_MAX_FD: the kernel rejects a message with more descriptors.
const maxRights = 253

// firstFDs returns the descriptors in the control data of one message. They are the descriptors
// in SCM_RIGHTS and the pidfd that the kernel adds. firstFDs returns at most the number that the
// kernel can pass, because a program can write any number of descriptors into the data.
func (c *Control) firstFDs() (fds []int32) {
	rights, pidfds := maxRights, 1
	for i := range c.Cmsgs {
		m := &c.Cmsgs[i]
		left := &rights
		if m.isPIDFD() {
			left = &pidfds
		}
		passed := m.FDs[:min(len(m.FDs), *left)]
		*left -= len(passed)
		fds = append(fds, passed...)
	}
	return fds
}
