package recorder

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TextBytes is the maximum number of payload bytes that a line shows.
const TextBytes = 32

// Text returns the call as a line of text. The line contains the socket, the messages with their
// control data, the flags and the result. It does not contain the arguments of a call without messages.
func (c *Call) Text() string {
	name, arguments := c.Name(), "…"
	if c.ViaSocketcall() {
		name = "socketcall " + name
	}
	if c.hasMessages() {
		arguments = c.fdText(c.socket(), false) + ", " + c.messagesText() + ", " + FlagText(c.flags())
	}
	text := name + "(" + arguments + ") = " + c.resultText()
	if c.Unread != nil {
		text += fmt.Sprintf(" (memory not read: %v)", c.Unread)
	}
	return text
}

// String returns the thread ID, followed by the result of Text.
func (c *Call) String() string {
	return fmt.Sprintf("%d %s", c.Thread, c.Text())
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

// resultText returns the result or the errno, and the flags of a received message.
func (c *Call) resultText() string {
	text := strconv.FormatInt(c.Result, 10)
	switch {
	case c.Unfinished:
		text = "? unfinished"
	case c.Errno != 0:
		text = "-1 " + c.errorName()
	}
	if c.hasMessages() && !c.batch() && c.received(0) {
		text += c.message(0).receivedFlagText()
	}
	return text
}

// receivedFlagText returns msg_flags after a space, and "" if it is 0.
func (m *Message) receivedFlagText() string {
	if m.ReceivedFlags == 0 {
		return ""
	}
	return " " + FlagText(m.ReceivedFlags)
}

// fdText returns a descriptor, such as 3<unix stream socket:[4711]>.
func (c *Call) fdText(fd int32, atExit bool) string {
	f := c.file(fd, atExit)
	if f == nil {
		return strconv.Itoa(int(fd))
	}
	return f.text()
}

// text returns the descriptor and its description.
func (f *File) text() string {
	var text string
	switch {
	case !f.Open() && f.Errno != 0:
		text = "not looked up: " + errnoName(f.Errno)
	case !f.Open():
		text = "not open"
	case strings.HasPrefix(f.Name, f.Kind+":"), f.Kind == "memfd", strings.HasPrefix(f.Name, "anon_inode:"):
		text = quotedName(f.Name)
	default:
		text = f.Kind + " " + quotedName(f.Name)
	}
	if f.Access != "" {
		text += ", " + f.Access
	}
	return fmt.Sprintf("%d<%s>", f.FD, text)
}

// quotedName quotes a name that a reader could mistake for other text, or that a CI server could
// mistake for a command such as "##[command]". The program can choose any name.
func quotedName(name string) string {
	quoted := strconv.QuoteToASCII(name)
	if quoted == `"`+name+`"` && !strings.ContainsAny(name, "<>,#") {
		return name
	}
	return quoted
}

func (c *Call) messagesText() string {
	if !c.batch() {
		return c.messageText(0)
	}
	var list []string
	for i := range c.Entry.Messages {
		text := c.messageText(i)
		if i < c.transferred() {
			m := &c.Exit.Messages[i]
			text += fmt.Sprintf(", %d%s", m.Bytes, m.receivedFlagText())
		}
		list = append(list, "{"+text+"}")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// messageText returns the payload, the address and the control data that were sent or received. If a
// receive returned no message, it returns the capacity of the buffers instead.
func (c *Call) messageText(i int) string {
	entry := &c.Entry.Messages[i]
	if entry.headerUnread() {
		return "msghdr unreadable"
	}
	if c.receives() && !c.received(i) {
		return fmt.Sprintf("room for %d+%d", entry.capacity(), entry.Header.ControlLen)
	}
	m := c.message(i)
	payload, length := m.payload()
	shown := payload[:min(len(payload), TextBytes)]
	text := strconv.QuoteToASCII(string(shown))
	if len(shown) < length {
		text += fmt.Sprintf("… of %d", length)
	}
	if name := m.Address.used(); len(name) > 0 {
		text += ", name " + addressText(name)
	}
	for i := range m.Control.Cmsgs {
		text += ", " + c.cmsgText(&m.Control.Cmsgs[i])
	}
	if len(m.Control.Rest) > 0 {
		text += ", control " + hexText(m.Control.Rest)
	}
	if n := m.Control.unread(); n > 0 {
		text += fmt.Sprintf(", control unreadable (%d bytes)", n)
	}
	return text
}

// cmsgText returns a control message.
func (c *Call) cmsgText(m *Cmsg) string {
	name := typeName(m.Level, m.Type) + " "
	if m.Level != unix.SOL_SOCKET {
		name = levelName(m.Level) + " " + name
	}
	cred, isCred := m.credentials()
	switch {
	case m.isRights():
		var list []string
		for _, fd := range m.FDs[:min(len(m.FDs), maxRights)] {
			list = append(list, c.passedFDText(fd))
		}
		if len(m.FDs) > maxRights {
			list = append(list, fmt.Sprintf("… of %d", len(m.FDs)))
		}
		return name + "[" + strings.Join(list, ", ") + "]"
	case m.isPIDFD() && len(m.Data) == 4:
		return name + c.passedFDText(m.FDs[0])
	case isCred:
		return name + fmt.Sprintf("{pid=%d, uid=%d, gid=%d}", cred.PID, cred.UID, cred.GID)
	case m.isSecurity():
		return name + strconv.QuoteToASCII(strings.TrimRight(string(m.Data), "\x00"))
	}
	return name + hexText(m.Data)
}

// passedFDText returns a descriptor in a message and, if it was received, whether it is
// close-on-exec.
func (c *Call) passedFDText(fd int32) string {
	text := c.fdText(fd, c.receives())
	f := c.file(fd, c.receives())
	switch {
	case !c.receives() || f == nil:
	case f.CloseOnExec:
		text += " close-on-exec"
	case f.Errno != 0:
		text += " close-on-exec unknown"
	}
	return text
}

// hexText returns the first bytes in hexadecimal, and the length if there are more.
func hexText(data []byte) string {
	text := hex.EncodeToString(data[:min(len(data), TextBytes)])
	if len(data) > TextBytes {
		text += fmt.Sprintf("… of %d", len(data))
	}
	return text
}

// addressText returns a socket address: the path or abstract name of a Unix socket.
func addressText(name []byte) string {
	if len(name) < 2 || order.Uint16(name) != unix.AF_UNIX {
		return hexText(name)
	}
	path := string(name[2:])
	switch {
	case path == "":
		return "none"
	case path[0] == 0:
		return strconv.QuoteToASCII("@" + path[1:])
	}
	path, _, _ = strings.Cut(path, "\x00")
	return strconv.QuoteToASCII(path)
}
