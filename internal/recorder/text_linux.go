package recorder

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TextBytes is how much of a payload a line shows.
const TextBytes = 32

// Text is the call in a line: the socket, the messages with what they carry,
// the flags, the result.
func (c *Call) Text() string { return string(c.AppendText(nil)) }

// AppendText appends the call in a line.
func (c *Call) AppendText(b []byte) []byte {
	if c.ViaSocketcall() && c.sig.messages() >= 0 {
		b = append(b, "socketcall "...)
	}
	b = append(b, c.Name()...)
	b = append(b, '(')
	if c.sig.messages() < 0 {
		b = c.appendArguments(b)
	} else {
		b = c.appendFD(b, int32(c.args[0]), false)
		b = append(b, ", "...)
		b = c.appendMessages(b)
		b = append(b, ", "...)
		b = append(b, FlagText(c.flags())...)
	}
	b = append(b, ") = "...)
	return c.appendResult(b)
}

func (c *Call) appendResult(b []byte) []byte {
	switch {
	case c.Unfinished:
		b = append(b, "? unfinished"...)
	case c.Errno != 0:
		b = append(b, "-1 "...)
		b = append(b, c.error()...)
	case c.makesFD():
		b = c.appendFD(b, int32(c.Result), true)
	default:
		b = strconv.AppendInt(b, c.Result, 10)
	}
	if c.sig.messages() >= 0 && !c.many() {
		if flags := c.receivedFlags(0); flags != 0 {
			b = append(b, ' ')
			b = append(b, FlagText(flags)...)
		}
	}
	if c.Unread != nil {
		b = append(b, " (memory not read: "...)
		b = append(b, c.Unread.Error()...)
		b = append(b, ')')
	}
	return b
}

// appendArguments is for calls without messages.
func (c *Call) appendArguments(b []byte) []byte {
	if c.sig == nil {
		return append(b, "…"...)
	}
	for i, a := range c.sig.args {
		if i > 0 {
			b = append(b, ", "...)
		}
		v := c.args[i]
		switch a.kind {
		case argFD:
			b = c.appendFD(b, int32(v), false)
		case argInt, argPID:
			b = strconv.AppendInt(b, int64(int32(v)), 10)
		case argFlags:
			b = append(b, FlagText(uint32(v))...)
		case argStr, argBuf, argOut, argLenp:
			blobs := c.Exit
			if a.kind == argStr || len(blobs) == 0 {
				blobs = c.Entry
			}
			b = appendPayload(b, buffer(blobs, i).data(), -1)
		default:
			b = append(b, "0x"...)
			b = strconv.AppendUint(b, v, 16)
		}
	}
	return b
}

// appendFD is such as 3<unix stream socket:[4711]>.
func (c *Call) appendFD(b []byte, fd int32, atExit bool) []byte {
	b = strconv.AppendInt(b, int64(fd), 10)
	f := c.file(fd, atExit)
	if f == nil {
		return b
	}
	b = append(b, '<')
	switch {
	case !f.Open() && f.Errno != 0:
		b = append(b, "not looked up: "...)
		b = append(b, errnoName(f.Errno)...)
	case !f.Open():
		b = append(b, "not open"...)
	case strings.HasPrefix(f.Name, f.Kind+":"), f.Kind == "memfd", strings.HasPrefix(f.Name, "anon_inode:"):
		b = appendName(b, f.Name)
	default:
		b = append(b, f.Kind...)
		b = append(b, ' ')
		b = appendName(b, f.Name)
	}
	if f.Access != "" {
		b = append(b, ", "...)
		b = append(b, f.Access...)
	}
	return append(b, '>')
}

// appendName appends a name, between quotes if it could be taken for anything else, for a
// CI server's "##[command]" too: who passes a file chooses its name.
func appendName(b []byte, name string) []byte {
	start := len(b)
	b = strconv.AppendQuoteToASCII(b, name)
	if string(b[start+1:len(b)-1]) == name && !strings.ContainsAny(name, "<>,#") {
		return append(b[:start], name...)
	}
	return b
}

func (c *Call) appendMessages(b []byte) []byte {
	if !c.many() {
		return c.appendMessage(b, 0)
	}
	b = append(b, '[')
	for i := range c.messages() {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '{')
		b = c.appendMessage(b, i)
		if i < c.done() {
			b = append(b, ", "...)
			b = strconv.AppendInt(b, int64(c.bytes(i)), 10)
			if flags := c.receivedFlags(i); flags != 0 {
				b = append(b, ' ')
				b = append(b, FlagText(flags)...)
			}
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendMessage is the payload, the address and the control data: those sent,
// or those received; of a receipt that has not been, the room.
func (c *Call) appendMessage(b []byte, i int) []byte {
	if c.headerUnread(i) {
		return append(b, "msghdr unreadable"...)
	}
	if c.sig.receives() && i >= c.done() {
		b = append(b, "room for "...)
		b = strconv.AppendUint(b, c.room(i), 10)
		b = append(b, "+"...)
		return strconv.AppendUint(b, c.header().uint(find(c.Entry, Header, i, 0).data(), "msg_controllen"), 10)
	}
	payload, length := c.payload(i)
	b = appendPayload(b, payload, length)
	if name := c.address(i); len(name) > 0 {
		b = append(b, ", name "...)
		b = appendAddress(b, name)
	}
	control := c.sent(i)
	if c.sig.receives() {
		control = c.received(i)
	}
	list, rest := parseControl(c.Arch, control)
	for _, m := range list {
		b = append(b, ", "...)
		b = c.appendControl(b, &m)
	}
	if len(rest) > 0 {
		b = append(b, ", control "...)
		b = appendHex(b, rest, TextBytes)
	}
	if n := c.controlUnread(i); n > 0 {
		b = append(b, ", control unreadable ("...)
		b = strconv.AppendUint(b, n, 10)
		b = append(b, " bytes)"...)
	}
	return b
}

// room is for how many bytes of payload the program has buffers.
func (c *Call) room(i int) (room uint64) {
	v := c.Arch.iovec()
	for b := find(c.Entry, Iovecs, i, 0).data(); len(b) >= v.size(); b = b[v.size():] {
		room += v.uint(b, "iov_len")
	}
	return room
}

// payload is that of all buffers, as far as it was recorded, and its length.
// Of one that was received it is no more than was received.
func (c *Call) payload(i int) (data []byte, length int) {
	blobs, left := c.Entry, uint64(1<<62)
	if c.sig.receives() {
		blobs, left = c.Exit, uint64(c.bytes(i))
	}
	whole := true
	for _, b := range blobs {
		if b.What != Payload || b.Msg != i {
			continue
		}
		n := min(b.Size, left)
		left -= n
		length += int(n)
		got := b.Data[:min(uint64(len(b.Data)), n)]
		if whole {
			data = append(data, got...)
		}
		whole = whole && uint64(len(got)) == n
	}
	return data, length
}

// address is msg_name: the one sent to, or the one received from.
func (c *Call) address(i int) []byte {
	blobs := c.Entry
	if c.sig.receives() {
		blobs = c.Exit
	}
	name := find(blobs, Address, i, 0).data()
	length := c.header().uint(find(blobs, Header, i, 0).data(), "msg_namelen")
	return name[:min(uint64(len(name)), length)]
}

func (c *Call) appendControl(b []byte, m *Cmsg) []byte {
	if m.Level != unix.SOL_SOCKET {
		b = append(b, levelName(m.Level)...)
		b = append(b, ' ')
	}
	b = append(b, typeName(m.Level, m.Type)...)
	b = append(b, ' ')
	received := c.sig.receives()
	switch {
	case m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_RIGHTS:
		b = append(b, '[')
		fds := m.descriptors()
		for i, fd := range fds[:min(len(fds), maxRights)] {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = c.appendPassed(b, fd, received)
		}
		if len(fds) > maxRights {
			b = append(b, ", … of "...)
			b = strconv.AppendInt(b, int64(len(fds)), 10)
		}
		return append(b, ']')
	case m.Level == unix.SOL_SOCKET && m.Type == scmPIDFD && len(m.Data) == 4:
		return c.appendPassed(b, m.descriptors()[0], received)
	case m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_CREDENTIALS && len(m.Data) == 12:
		for i, name := range []string{"{pid=", ", uid=", ", gid="} {
			b = append(b, name...)
			b = strconv.AppendInt(b, int64(int32(order.Uint32(m.Data[4*i:]))), 10)
		}
		return append(b, '}')
	case m.Level == unix.SOL_SOCKET && m.Type == scmSecurity:
		return strconv.AppendQuoteToASCII(b, strings.TrimRight(string(m.Data), "\x00"))
	}
	return appendHex(b, m.Data, TextBytes)
}

// appendPassed is a descriptor in a message. A received one that an exec would
// hand on is distinguished from one that is close-on-exec.
func (c *Call) appendPassed(b []byte, fd int32, received bool) []byte {
	b = c.appendFD(b, fd, received)
	f := c.file(fd, received)
	switch {
	case !received || f == nil:
	case f.CloseOnExec:
		b = append(b, " close-on-exec"...)
	case f.Errno != 0:
		b = append(b, " close-on-exec unknown"...)
	}
	return b
}

// appendPayload shows the beginning. A length of -1 stands for all of data.
func appendPayload(b, data []byte, length int) []byte {
	if length < 0 {
		length = len(data)
	}
	shown := data[:min(len(data), TextBytes)]
	b = strconv.AppendQuoteToASCII(b, string(shown))
	if len(shown) < length {
		b = append(b, "… of "...)
		b = strconv.AppendInt(b, int64(length), 10)
	}
	return b
}

func appendHex(b, data []byte, most int) []byte {
	const digits = "0123456789abcdef"
	for _, v := range data[:min(len(data), most)] {
		b = append(b, digits[v>>4], digits[v&15])
	}
	if len(data) > most {
		b = append(b, "… of "...)
		b = strconv.AppendInt(b, int64(len(data)), 10)
	}
	return b
}

func appendAddress(b, name []byte) []byte {
	if len(name) < 2 || order.Uint16(name) != unix.AF_UNIX {
		return appendHex(b, name, TextBytes)
	}
	path := string(name[2:])
	switch {
	case path == "":
		return append(b, "none"...)
	case path[0] == 0:
		return strconv.AppendQuoteToASCII(b, "@"+path[1:])
	}
	path, _, _ = strings.Cut(path, "\x00")
	return strconv.AppendQuoteToASCII(b, path)
}
