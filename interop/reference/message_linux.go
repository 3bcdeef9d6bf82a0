package reference

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

var messageFlags = map[string]int{
	"dontwait": unix.MSG_DONTWAIT,
	"nosignal": unix.MSG_NOSIGNAL,
	"eor":      unix.MSG_EOR,
	"oob":      unix.MSG_OOB,
	"more":     unix.MSG_MORE,
	"peek":     unix.MSG_PEEK,
	"trunc":    unix.MSG_TRUNC,
	"ctrunc":   unix.MSG_CTRUNC,
	"waitall":  unix.MSG_WAITALL,
	"errqueue": unix.MSG_ERRQUEUE,
	"inherit":  inherit,
}

// inherit is no flag of the kernel's: it takes MSG_CMSG_CLOEXEC away, which all
// receives have otherwise.
const inherit = 1 << 29

// buffers are the payload: "none" is no iovec at all, "bad" one that faults.
func (a *args) buffers(m *raw.Message) {
	switch a.text("payload", "-") {
	case "none":
		m.NoBuffers = true
		return
	case "bad":
		m.Buffers = [][]byte{a.edge(0)[:16]}
		return
	}
	var err error
	if m.Buffers, err = peer.Payload(a.text("payload", "-"), a.number("at", 0)); err != nil {
		a.bad("payload")
	}
}

// room is where the payload goes: "bad" is a buffer that faults.
func (a *args) room(m *raw.Message) {
	text := a.text("bytes", "")
	if text == "bad" {
		m.Buffers = [][]byte{a.edge(0)[:16]}
		return
	}
	var err error
	if m.Buffers, err = peer.Buffers(text); err != nil {
		a.bad("bytes")
	}
}

func (a *args) edge(n int) []byte {
	mem, err := raw.Edge(n)
	if err != nil && a.err == nil {
		a.err = err
	}
	return mem
}

// Size reads a number of bytes: 24, len(2), space(2)-1, space(1)+creds.
// len(N) and space(N) are CMSG_LEN and CMSG_SPACE of N descriptors, creds the
// CMSG_SPACE of credentials.
func Size(text string) (int, error) {
	total, sign := 0, 1
	for text != "" {
		end := strings.IndexAny(text, "+-")
		if end < 0 {
			end = len(text)
		}
		n, err := term(text[:end])
		if err != nil {
			return 0, err
		}
		total += sign * n
		if end == len(text) {
			return total, nil
		}
		sign = 1
		if text[end] == '-' {
			sign = -1
		}
		text = text[end+1:]
	}
	return 0, errors.New("not a size")
}

func term(text string) (int, error) {
	for name, f := range map[string]func(int) int{"len": unix.CmsgLen, "space": unix.CmsgSpace} {
		if count, ok := strings.CutPrefix(text, name+"("); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(count, ")"))
			return f(4 * n), err
		}
	}
	if text == "creds" {
		return unix.CmsgSpace(unix.SizeofUcred), nil
	}
	n, err := strconv.ParseInt(text, 0, 64)
	return int(n), err
}

// items splits a list at its commas, but for those in brackets.
func items(text string) (list []string) {
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				list = append(list, text[from:i])
				from = i + 1
			}
		}
	}
	return append(list, text[from:])
}

// control is the control buffer to send: "-" is none, "null" and "bad" are
// pointers, with the length that controllen= says.
func (a *args) control(m *raw.Message, text string) {
	switch text {
	case "-", "null":
	case "bad":
		m.Control = a.edge(0)
	default:
		for _, item := range items(text) {
			b, err := cmsg(item)
			if err == nil && len(b) > mostControl-len(m.Control) {
				b, err = nil, fmt.Errorf("more than %d bytes", mostControl)
			}
			if err != nil && a.err == nil {
				a.err = fmt.Errorf("control=%s: %w", item, err)
			}
			m.Control = append(m.Control, b...)
		}
		m.ControlLen = len(m.Control)
	}
	// The kernel refuses a length above INT_MAX before it reads what is there.
	a.controlLen(m, func(n int) bool { return uint(n) > math.MaxInt32 })
}

// controlLen is msg_controllen, if it is not the length of what is there. It may be more
// where the pointer is NULL or the memory behind faults, and where the call allows it: the
// kernel would read or write behind the buffer.
func (a *args) controlLen(m *raw.Message, allowed func(n int) bool) {
	text, ok := a.fields["controllen"]
	if !ok {
		return
	}
	n, err := Size(text)
	faults := m.Control == nil || a.fields["control"] == "bad" || strings.HasPrefix(a.fields["control"], "edge(")
	if err != nil || !faults && uint(n) > uint(len(m.Control)) && !allowed(n) {
		a.bad("controllen")
	}
	m.ControlLen = n
}

// mostControl is how long a control buffer may be: much longer than any kernel takes.
const mostControl = 64 << 20

// cmsg is one item of control=: rights(3,4), creds(1,0,0), creds(), pidfd(3),
// hex(00ff), cmsg(LEVEL,TYPE,HEX) and their :len=, :level=, :type=; and N*ITEM.
func cmsg(item string) ([]byte, error) {
	if count, rest, ok := strings.Cut(item, "*"); ok {
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, err
		}
		if of, _, _ := strings.Cut(rest, "("); strings.Contains(of, "*") {
			return nil, errors.New("a count inside a count")
		}
		b, err := cmsg(rest)
		if err == nil && (n < 0 || n > mostControl/max(1, len(b))) {
			return nil, fmt.Errorf("more than %d bytes", mostControl)
		}
		return []byte(strings.Repeat(string(b), n)), err
	}
	kind, rest, _ := strings.Cut(item, "(")
	inner, changes, ok := strings.Cut(rest, ")")
	if !ok {
		return nil, errors.New("not KIND(...)")
	}
	var list []string
	if inner != "" {
		list = strings.Split(inner, ",")
	}
	c := raw.Cmsg{Level: unix.SOL_SOCKET}
	var err error
	switch kind {
	case "rights":
		c.Type = unix.SCM_RIGHTS
		c.Data, err = ints(list)
	case "pidfd":
		c.Type = unix.SCM_PIDFD
		c.Data, err = ints(list)
	case "creds":
		c.Type = unix.SCM_CREDENTIALS
		if len(list) == 0 {
			list = []string{strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())}
		}
		c.Data, err = ints(list)
	case "hex":
		return hex.DecodeString(inner)
	case "cmsg":
		if len(list) != 3 {
			return nil, errors.New("cmsg(LEVEL,TYPE,HEX)")
		}
		var level, kind int64
		level, err = strconv.ParseInt(list[0], 0, 32)
		if err == nil {
			kind, err = strconv.ParseInt(list[1], 0, 32)
		}
		if err == nil && list[2] != "-" {
			c.Data, err = hex.DecodeString(list[2])
		}
		c.Level, c.Type = int32(level), int32(kind)
	default:
		err = errors.New("no such control message")
	}
	if err != nil {
		return nil, err
	}
	err = change(&c, changes)
	return c.Bytes(), err
}

// change does what stands behind an item: :len=15:level=99:data+=00ff.
func change(c *raw.Cmsg, changes string) error {
	for _, word := range strings.Split(changes, ":")[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "len":
			if n, err := strconv.ParseUint(value, 0, 64); err == nil {
				c.Len, c.BadLen = n, true
				continue
			}
			n, err := Size(value)
			if err != nil {
				return err
			}
			c.Len, c.BadLen = uint64(n), true
		case "level", "type":
			n, err := strconv.ParseInt(value, 0, 32)
			if err != nil {
				return err
			}
			if key == "level" {
				c.Level = int32(n)
			} else {
				c.Type = int32(n)
			}
		case "more":
			b, err := hex.DecodeString(value)
			if err != nil {
				return err
			}
			c.Data = append(c.Data, b...)
		default:
			return fmt.Errorf("no such change: %s", word)
		}
	}
	return nil
}

func ints(list []string) (data []byte, err error) {
	for _, text := range list {
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			return nil, err
		}
		data = binary.NativeEndian.AppendUint32(data, uint32(n))
	}
	return data, nil
}

func sendmsg(a *args) (string, error) {
	m := &raw.Message{}
	a.buffers(m)
	a.control(m, a.text("control", "-"))
	a.name(m)
	flags := a.words("flags", messageFlags)
	sock := a.sock()
	if a.err != nil {
		return "", nil
	}
	n, err := m.Send(sock, flags)
	return fmt.Sprintf("n=%d", n), err
}

// controlRoom is the control buffer of a receive: a size, "null", "bad", or
// "edge(SIZE)", of which the rest faults. It is filled with fill=, if that is
// told: with what a receive before it might have left.
func (a *args) controlRoom(m *raw.Message) {
	text := a.text("control", "0")
	inner, edge := strings.CutPrefix(text, "edge(")
	switch {
	case text == "null":
	case text == "bad":
		m.Control = a.edge(0)
	case edge:
		n, err := roomSize(strings.TrimSuffix(inner, ")"))
		if err != nil {
			a.bad("control")
			return
		}
		m.Control = a.edge(n)
		m.ControlLen = n
	default:
		n, err := roomSize(text)
		if err != nil {
			a.bad("control")
			return
		}
		m.Control = make([]byte, n, n+1) // one of 0 bytes has an address, too
		m.ControlLen = n
	}
	if text, ok := a.fields["fill"]; ok {
		b, err := cmsg(text)
		if err != nil {
			a.bad("fill")
		}
		copy(m.Control[:m.ControlLen], b) // what is behind may fault
	}
	a.controlLen(m, func(int) bool { return false })
}

// roomSize is the length of a control buffer to receive into: at most 1 MiB.
func roomSize(text string) (int, error) {
	n, err := Size(text)
	if err == nil && (n < 0 || n > 1<<20) {
		err = fmt.Errorf("no room: %d bytes", n)
	}
	return n, err
}

// nameRoom has room for any name of a socket.
const nameRoom = 128

func recvmsg(a *args) (string, error) {
	m := &raw.Message{Name: make([]byte, nameRoom), NameLen: nameRoom}
	a.room(m)
	a.controlRoom(m)
	flags := a.receiveFlags()
	sock := a.sock()
	if a.err != nil {
		return "", nil
	}
	n, err := m.Recv(sock, flags)
	if err != nil {
		return "", err
	}
	got := a.received(m)
	text := fmt.Sprintf("n=%d payload=%s fds=%s control=%s controllen=%d flags=%s name=%s", n, peer.FormatPayload(filled(m, n), a.number("at", 0)),
		peer.FormatNumbers(got.fds), got.text, m.ControlLen, peer.FormatFlags(m.Flags), formatName(m.Name[:min(m.NameLen, nameRoom)]))
	if got.pidfd >= 0 {
		text += fmt.Sprintf(" pidfd=%d", got.pidfd)
	}
	return text, nil
}

func (a *args) receiveFlags() int {
	flags := a.words("flags", messageFlags)
	if flags&inherit == 0 {
		flags |= unix.MSG_CMSG_CLOEXEC
	}
	return flags &^ inherit
}

func filled(m *raw.Message, n int) []byte {
	return peer.Room{Buffers: m.Buffers}.Filled(n)
}

// control is what a receive brought besides the payload.
type control struct {
	text  string
	fds   []int
	pidfd int
}

// received reads the control messages of a receive. What is installed is the
// case's.
func (a *args) received(m *raw.Message) control {
	got := control{pidfd: -1}
	var list []string
	for _, c := range raw.Parse(m.Control[:min(m.ControlLen, len(m.Control))]) {
		name := fmt.Sprintf("cmsg(%d,%d,%x)", c.Level, c.Type, c.Data)
		if c.Level == unix.SOL_SOCKET {
			switch c.Type {
			case unix.SCM_RIGHTS:
				got.fds = append(got.fds, c.Rights()...)
				name = fmt.Sprintf("rights*%d", len(c.Data)/4)
			case unix.SCM_CREDENTIALS:
				name = formatCreds(c.Data)
			case unix.SCM_PIDFD:
				name = "pidfd"
				if len(c.Data) >= 4 {
					got.pidfd = int(int32(binary.NativeEndian.Uint32(c.Data)))
					if got.pidfd < 0 {
						name = fmt.Sprintf("pidfd(%d)", got.pidfd) // an errno: there is no number
					}
				}
			case unix.SCM_TIMESTAMP:
				name = "timestamp"
			case unix.SCM_SECURITY:
				name = "security"
			case unix.SO_INQ:
				name = fmt.Sprintf("inq(%d)", int32(binary.NativeEndian.Uint32(c.Data)))
			}
		}
		list = append(list, name)
	}
	for _, fd := range got.fds {
		a.Hold(fd)
	}
	a.Hold(got.pidfd)
	got.text = "-"
	if len(list) > 0 {
		got.text = strings.Join(list, ",")
	}
	return got
}

// formatCreds tells credentials that were cut by how much there is of them.
func formatCreds(data []byte) string {
	if len(data) < unix.SizeofUcred {
		return fmt.Sprintf("creds:%d", len(data))
	}
	var list []string
	for ; len(data) >= 4; data = data[4:] {
		list = append(list, strconv.Itoa(int(int32(binary.NativeEndian.Uint32(data)))))
	}
	return "creds(" + strings.Join(list, ",") + ")"
}

// mostTogether is how many bytes all messages of one call may have.
const mostTogether = 64 << 20

func length(buffers [][]byte) (total int) {
	for _, b := range buffers {
		total += len(b)
	}
	return total
}

// each splits a field of sendmmsg at its bars, one part a message.
func (a *args) each(key string, n int) []string {
	list := strings.Split(a.text(key, "-"), "|")
	if len(list) != n && !a.has(key) {
		list = strings.Split(strings.Repeat("-|", n-1)+"-", "|")
	}
	if len(list) != n {
		a.bad(key)
	}
	return list
}

func sendmmsg(a *args) (string, error) {
	payloads := strings.Split(a.text("payload", "-"), "|")
	controls := a.each("control", len(payloads))
	if a.err != nil {
		return "", nil
	}
	var ms []*raw.Message
	total := 0
	for i, text := range payloads {
		buffers, err := peer.Payload(text, 0)
		if total += length(buffers); err != nil || total > mostTogether {
			a.bad("payload")
		}
		m := raw.NewMessage(buffers, nil)
		a.control(m, controls[i])
		if total += len(m.Control); total > mostTogether {
			a.bad("control")
		}
		if a.err != nil {
			return "", nil
		}
		ms = append(ms, m)
	}
	flags, sock := a.words("flags", messageFlags), a.sock()
	if a.err != nil {
		return "", nil
	}
	n, err := raw.SendMany(sock, ms, flags)
	return fmt.Sprintf("n=%d", n), err
}

// recvmmsg has room for as many messages as bytes= has parts between bars.
func recvmmsg(a *args) (string, error) {
	rooms := strings.Split(a.text("bytes", ""), "|")
	controls := a.each("control", len(rooms))
	var ms []*raw.Message
	total := 0
	for i, text := range rooms {
		buffers, err := peer.Buffers(text)
		if total += length(buffers); err != nil || total > mostTogether {
			a.bad("bytes")
		}
		n := 0
		if a.err == nil && controls[i] != "-" {
			if n, err = roomSize(controls[i]); err != nil {
				a.bad("control")
			}
		}
		if a.err != nil {
			return "", nil
		}
		ms = append(ms, raw.NewMessage(buffers, make([]byte, n)))
	}
	flags, sock := a.receiveFlags(), a.sock()
	if a.err != nil {
		return "", nil
	}
	n, lengths, err := raw.RecvMany(sock, ms, flags)
	if err != nil {
		return "", err
	}
	var payloads []string
	var fds []int
	for i, m := range ms[:n] {
		payloads = append(payloads, peer.FormatPayload(filled(m, lengths[i]), 0))
		fds = append(fds, a.received(m).fds...)
	}
	return fmt.Sprintf("n=%d payload=%s fds=%s", n, strings.Join(payloads, "|"), peer.FormatNumbers(fds)), nil
}

func read(a *args) (string, error) {
	m := &raw.Message{}
	a.room(m)
	fd := a.fd()
	if a.err != nil {
		return "", nil
	}
	n, err := unix.Readv(fd, m.Buffers)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("n=%d payload=%s", n, peer.FormatPayload(filled(m, n), a.number("at", 0))), nil
}

func write(a *args) (string, error) {
	m := &raw.Message{}
	a.buffers(m)
	fd := a.fd()
	if a.err != nil {
		return "", nil
	}
	n, err := unix.Writev(fd, m.Buffers)
	return fmt.Sprintf("n=%d", n), err
}

// splice moves bytes from the first of fds= to the second.
func splice(a *args) (string, error) {
	from, to := a.two()
	bytes := a.number("bytes", 0)
	if a.err != nil {
		return "", nil
	}
	n, err := unix.Splice(from, nil, to, nil, bytes, unix.SPLICE_F_NONBLOCK)
	return fmt.Sprintf("n=%d", n), err
}

func sendfile(a *args) (string, error) {
	from, to := a.two()
	bytes := a.number("bytes", 0)
	if a.err != nil {
		return "", nil
	}
	n, err := unix.Sendfile(to, from, nil, bytes)
	return fmt.Sprintf("n=%d", n), err
}
