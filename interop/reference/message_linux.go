package reference

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

var messageFlags = map[string]int{
	"dontwait":       unix.MSG_DONTWAIT,
	"nosignal":       unix.MSG_NOSIGNAL,
	"eor":            unix.MSG_EOR,
	"oob":            unix.MSG_OOB,
	"more":           unix.MSG_MORE,
	"peek":           unix.MSG_PEEK,
	"trunc":          unix.MSG_TRUNC,
	"ctrunc":         unix.MSG_CTRUNC,
	"waitall":        unix.MSG_WAITALL,
	"errqueue":       unix.MSG_ERRQUEUE,
	contract.Inherit: inherit,
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
	m.Buffers, _ = peer.Payload(a.text("payload", "-"), a.number("at", 0))
}

// room is where the payload goes: "bad" is a buffer that faults.
func (a *args) room(m *raw.Message) {
	text := a.text("bytes", "")
	if text == "bad" {
		m.Buffers = [][]byte{a.edge(0)[:16]}
		return
	}
	m.Buffers, _ = peer.Buffers(text)
}

func (a *args) edge(n int) []byte {
	mem, err := raw.Edge(n)
	if err != nil && a.err == nil {
		a.err = err
	}
	return mem
}

// control is the control buffer to send: "-" is none, "null" and "bad" are
// pointers, with the length that controllen= says.
func (a *args) control(m *raw.Message, text string) {
	switch text {
	case "-", "null":
	case "bad":
		m.Control = a.edge(0)
	default:
		m.Control = messages(text)
		m.ControlLen = len(m.Control)
	}
	a.controlLen(m)
}

// controlLen is msg_controllen, if it is not the length of what is there.
func (a *args) controlLen(m *raw.Message) {
	if text, ok := a.fields["controllen"]; ok {
		m.ControlLen, _ = contract.Size(text)
	}
}

// messages are the control messages of a list as they are sent.
func messages(text string) (control []byte) {
	list, _ := contract.ParseControl(text)
	for _, c := range list {
		control = append(control, bytes.Repeat(message(c), c.Count)...)
	}
	return control
}

var cmsgTypes = map[string]int32{"rights": unix.SCM_RIGHTS, "pidfd": unix.SCM_PIDFD, "creds": unix.SCM_CREDENTIALS}

func message(c contract.Cmsg) []byte {
	if c.Kind == "hex" {
		return c.Data
	}
	m := raw.Cmsg{Level: unix.SOL_SOCKET, Type: cmsgTypes[c.Kind]}
	if c.Kind == "creds" && c.Numbers == nil {
		c.Numbers = []uint32{uint32(os.Getpid()), uint32(os.Getuid()), uint32(os.Getgid())}
	}
	for _, n := range c.Numbers {
		m.Data = binary.NativeEndian.AppendUint32(m.Data, n)
	}
	m.Data = append(m.Data, c.Data...)
	if c.Level != nil {
		m.Level = *c.Level
	}
	if c.Type != nil {
		m.Type = *c.Type
	}
	if c.Len != nil {
		m.Len, m.BadLen = *c.Len, true
	}
	return m.Bytes()
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
	size, edge := contract.Edge(text)
	switch {
	case text == "null":
	case text == "bad":
		m.Control = a.edge(0)
	case edge:
		m.Control = a.edge(size)
		m.ControlLen = size
	default:
		n, _ := contract.Size(text)
		m.Control = make([]byte, n, n+1) // one of 0 bytes has an address, too
		m.ControlLen = n
	}
	if text, ok := a.fields["fill"]; ok && a.err == nil {
		copy(m.Control[:m.ControlLen], messages(text)) // what is behind may fault
	}
	a.controlLen(m)
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
		name := fmt.Sprintf("cmsg(%d,%d,%s)", c.Level, c.Type, cmp.Or(hex.EncodeToString(c.Data), "-"))
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

// parts splits a field of sendmmsg and recvmmsg at its bars, one part a message.
func (a *args) parts(key string, n int) []string {
	if !a.has(key) {
		return slices.Repeat([]string{"-"}, n)
	}
	return strings.Split(a.fields[key], "|")
}

func sendmmsg(a *args) (string, error) {
	payloads := a.parts("payload", 1)
	controls := a.parts("control", len(payloads))
	var ms []*raw.Message
	for i, text := range payloads {
		buffers, _ := peer.Payload(text, 0)
		m := raw.NewMessage(buffers, nil)
		a.control(m, controls[i])
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
	rooms := a.parts("bytes", 1)
	controlRooms := a.parts("control", len(rooms))
	var ms []*raw.Message
	for i, text := range rooms {
		buffers, _ := peer.Buffers(text)
		n, _ := contract.Size(controlRooms[i]) // 0 for "-"
		ms = append(ms, raw.NewMessage(buffers, make([]byte, n)))
	}
	n, lengths, err := raw.RecvMany(a.sock(), ms, a.receiveFlags())
	if err != nil {
		return "", err
	}
	var payloads, controls []string
	var fds, pidfds []int
	for i, m := range ms[:n] {
		got := a.received(m)
		payloads = append(payloads, peer.FormatPayload(filled(m, lengths[i]), 0))
		controls = append(controls, got.text)
		fds = append(fds, got.fds...)
		if got.pidfd >= 0 {
			pidfds = append(pidfds, got.pidfd)
		}
	}
	text := fmt.Sprintf("n=%d payload=%s fds=%s control=%s", n, strings.Join(payloads, "|"), peer.FormatNumbers(fds), strings.Join(controls, "|"))
	if len(pidfds) > 0 {
		text += " pidfd=" + peer.FormatNumbers(pidfds)
	}
	return text, nil
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
	n, err := unix.Splice(from, nil, to, nil, a.number("bytes", 0), unix.SPLICE_F_NONBLOCK)
	return fmt.Sprintf("n=%d", n), err
}

func sendfile(a *args) (string, error) {
	from, to := a.two()
	n, err := unix.Sendfile(to, from, nil, a.number("bytes", 0))
	return fmt.Sprintf("n=%d", n), err
}
