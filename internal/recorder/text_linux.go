package recorder

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TextBytes is the maximum number of payload bytes that a line shows.
const TextBytes = 32

// Text returns the call as a line of text. The line contains the socket, the messages with their
// control data, the flags and the result. It does not contain the arguments of a call without messages.
func (c *Call) Text() string { return string(c.AppendText(nil)) }

// String returns the thread ID, followed by the result of Text.
func (c *Call) String() string {
	return fmt.Sprintf("%d %s", c.Thread, c.Text())
}

// AppendText appends the call as a line.
func (c *Call) AppendText(b []byte) []byte {
	if c.ViaSocketcall() && c.hasMessages() {
		b = append(b, "socketcall "...)
	}
	b = append(b, c.Name()...)
	b = append(b, '(')
	if !c.hasMessages() {
		b = append(b, "…"...)
	} else {
		b = c.appendFD(b, c.socket(), false)
		b = append(b, ", "...)
		b = c.appendMessages(b)
		b = append(b, ", "...)
		b = append(b, FlagText(c.flags())...)
	}
	b = append(b, ") = "...)
	return c.appendResult(b)
}

// errorName returns the name of the errno, and "" if the call did not fail.
func (c *Call) errorName() string {
	switch {
	case c.Errno == 0:
		return ""
	case interrupted(c.Errno):
		return "interrupted"
	}
	return errnoName(c.Errno)
}

// appendResult appends the result or the errno, and the flags of a received message.
func (c *Call) appendResult(b []byte) []byte {
	switch {
	case c.Unfinished:
		b = append(b, "? unfinished"...)
	case c.Errno != 0:
		b = append(b, "-1 "...)
		b = append(b, c.errorName()...)
	default:
		b = strconv.AppendInt(b, c.Result, 10)
	}
	if c.hasMessages() && !c.batch() && c.received(0) {
		b = appendReceivedFlags(b, c.message(0))
	}
	if c.Unread != nil {
		b = append(b, " (memory not read: "...)
		b = append(b, c.Unread.Error()...)
		b = append(b, ')')
	}
	return b
}

// appendReceivedFlags appends msg_flags, unless it is 0.
func appendReceivedFlags(b []byte, m *Message) []byte {
	if m.ReceivedFlags == 0 {
		return b
	}
	b = append(b, ' ')
	return append(b, FlagText(m.ReceivedFlags)...)
}

// appendFD appends a descriptor, such as 3<unix stream socket:[4711]>.
func (c *Call) appendFD(b []byte, fd int32, atExit bool) []byte {
	f := c.file(fd, atExit)
	if f == nil {
		return strconv.AppendInt(b, int64(fd), 10)
	}
	return f.appendText(b)
}

// appendText appends the descriptor and its description.
func (f *File) appendText(b []byte) []byte {
	b = strconv.AppendInt(b, int64(f.FD), 10)
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

// appendName appends a name. The program can choose any name. appendName therefore quotes a name
// that a reader could mistake for other text, or that a CI server could mistake for a command
// such as "##[command]".
func appendName(b []byte, name string) []byte {
	start := len(b)
	b = strconv.AppendQuoteToASCII(b, name)
	if string(b[start+1:len(b)-1]) == name && !strings.ContainsAny(name, "<>,#") {
		return append(b[:start], name...)
	}
	return b
}

func (c *Call) appendMessages(b []byte) []byte {
	if !c.batch() {
		return c.appendMessage(b, 0)
	}
	b = append(b, '[')
	for i := range c.Entry.Messages {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '{')
		b = c.appendMessage(b, i)
		if i < c.transferred() {
			b = append(b, ", "...)
			b = strconv.AppendInt(b, int64(c.Exit.Messages[i].Bytes), 10)
			b = appendReceivedFlags(b, &c.Exit.Messages[i])
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendMessage appends the payload, the address and the control data that were sent or received. If a
// receive returned no message, it appends the capacity of the buffers instead.
func (c *Call) appendMessage(b []byte, i int) []byte {
	entry := &c.Entry.Messages[i]
	if entry.headerUnread() {
		return append(b, "msghdr unreadable"...)
	}
	if c.receives() && !c.received(i) {
		b = append(b, "room for "...)
		b = strconv.AppendUint(b, entry.capacity(), 10)
		b = append(b, "+"...)
		return strconv.AppendUint(b, entry.Header.ControlLen, 10)
	}
	m := c.message(i)
	payload, length := m.payload()
	b = appendPayload(b, payload, length)
	if name := m.Address.used(); len(name) > 0 {
		b = append(b, ", name "...)
		b = appendAddress(b, name)
	}
	for i := range m.Control.Cmsgs {
		b = append(b, ", "...)
		b = c.appendCmsg(b, &m.Control.Cmsgs[i])
	}
	if len(m.Control.Rest) > 0 {
		b = append(b, ", control "...)
		b = appendHex(b, m.Control.Rest, TextBytes)
	}
	if n := m.Control.unread(); n > 0 {
		b = append(b, ", control unreadable ("...)
		b = strconv.AppendUint(b, n, 10)
		b = append(b, " bytes)"...)
	}
	return b
}

// appendCmsg appends a control message.
func (c *Call) appendCmsg(b []byte, m *Cmsg) []byte {
	if m.Level != unix.SOL_SOCKET {
		b = append(b, levelName(m.Level)...)
		b = append(b, ' ')
	}
	b = append(b, typeName(m.Level, m.Type)...)
	b = append(b, ' ')
	switch {
	case m.isRights():
		b = append(b, '[')
		for i, fd := range m.FDs[:min(len(m.FDs), maxRights)] {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = c.appendPassedFD(b, fd)
		}
		if len(m.FDs) > maxRights {
			b = append(b, ", … of "...)
			b = strconv.AppendInt(b, int64(len(m.FDs)), 10)
		}
		return append(b, ']')
	case m.isPIDFD() && len(m.Data) == 4:
		return c.appendPassedFD(b, m.FDs[0])
	}
	if cred, ok := m.credentials(); ok {
		b = append(b, "{pid="...)
		b = strconv.AppendInt(b, int64(cred.PID), 10)
		b = append(b, ", uid="...)
		b = strconv.AppendInt(b, int64(cred.UID), 10)
		b = append(b, ", gid="...)
		b = strconv.AppendInt(b, int64(cred.GID), 10)
		return append(b, '}')
	}
	if m.isSecurity() {
		return strconv.AppendQuoteToASCII(b, strings.TrimRight(string(m.Data), "\x00"))
	}
	return appendHex(b, m.Data, TextBytes)
}

// appendPassedFD appends a descriptor in a message and, if it was received, whether it is
// close-on-exec.
func (c *Call) appendPassedFD(b []byte, fd int32) []byte {
	b = c.appendFD(b, fd, c.receives())
	f := c.file(fd, c.receives())
	switch {
	case !c.receives() || f == nil:
	case f.CloseOnExec:
		b = append(b, " close-on-exec"...)
	case f.Errno != 0:
		b = append(b, " close-on-exec unknown"...)
	}
	return b
}

// appendPayload appends the beginning of a payload and, if the payload is longer, its length.
func appendPayload(b, data []byte, length int) []byte {
	shown := data[:min(len(data), TextBytes)]
	b = strconv.AppendQuoteToASCII(b, string(shown))
	if len(shown) < length {
		b = append(b, "… of "...)
		b = strconv.AppendInt(b, int64(length), 10)
	}
	return b
}

// appendHex appends at most the given number of bytes in hexadecimal, and the length if there are more.
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

// appendAddress appends a socket address: the path or abstract name of a Unix socket.
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
