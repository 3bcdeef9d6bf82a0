package reference

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// outgoing returns a message to send. The payload "none" means no iovec, and "bad" means a buffer in
// inaccessible memory.
func (a *args) outgoing(payload, control any) (m *raw.Message, err error) {
	m = &raw.Message{NoBuffers: payload == "none"}
	if p, ok := payload.(contract.Payload); ok {
		m.Buffers = p.Buffers(a.integer("at", 0))
	} else {
		m.Buffers, err = faulting()
	}
	return m, errors.Join(err, a.control(m, control))
}

// incoming returns a message to receive into. The size "bad" means a buffer in inaccessible memory.
func (a *args) incoming(size, control any) (m *raw.Message, err error) {
	m = &raw.Message{}
	if sizes, ok := size.(contract.Room); ok {
		m.Buffers = sizes.Buffers()
	} else {
		m.Buffers, err = faulting()
	}
	return m, errors.Join(err, a.control(m, control))
}

// faulting returns a buffer in inaccessible memory.
func faulting() ([][]byte, error) {
	mem, err := raw.Edge(0)
	if err != nil {
		return nil, err
	}
	return [][]byte{mem[:16]}, nil
}

// errLength is returned for a command that would let the kernel read or write beyond the buffer.
var errLength = errors.New("controllen= is longer than the control buffer")

// control sets the control buffer of a message. If controllen= is given, it overrides the length of
// the buffer. The value "-" means no buffer, "null" means a nil pointer, and "bad" means a pointer
// to inaccessible memory.
func (a *args) control(m *raw.Message, value any) (err error) {
	switch c := value.(type) {
	case []kernel.Cmsg:
		m.Control = cmsgs(c)
		m.ControlLen = len(m.Control)
	case int:
		m.Control = make([]byte, c, c+1) // a buffer of 0 bytes has an address, too
		m.ControlLen = c
	case kernel.Edge:
		m.Control, err = raw.Edge(int(c))
		m.ControlLen = int(c)
	case string:
		if c == "bad" {
			m.Control, err = raw.Edge(0)
		}
	}
	if fill, ok := a.Values["fill"].([]kernel.Cmsg); ok && err == nil {
		copy(m.Control[:m.ControlLen], cmsgs(fill)) // memory after it may fault
	}
	size := m.ControlLen
	m.ControlLen = a.integer("controllen", size)
	beyond := uint(m.ControlLen) > uint(size)
	switch value.(type) {
	case []kernel.Cmsg: // the kernel rejects a length above INT_MAX before it reads the buffer
		beyond = beyond && m.ControlLen <= math.MaxInt32 && m.ControlLen > 0 && size > 0
	case kernel.Edge, string, nil:
		beyond = false
	}
	if beyond {
		return errLength
	}
	return err
}

// cmsgs encodes a list of control messages for a control buffer.
func cmsgs(list []kernel.Cmsg) (control []byte) {
	for _, c := range list {
		control = append(control, bytes.Repeat(message(c), c.Count)...)
	}
	return control
}

var cmsgTypes = map[string]int32{"rights": unix.SCM_RIGHTS, "pidfd": unix.SCM_PIDFD, "creds": unix.SCM_CREDENTIALS}

func message(c kernel.Cmsg) []byte {
	if c.Kind == "hex" {
		return c.Data
	}
	m := raw.Cmsg{Level: unix.SOL_SOCKET, Type: cmsgTypes[c.Kind], Data: c.Data, Len: c.Len}
	if c.Own {
		m.Data = append(raw.Int32s(os.Getpid(), os.Getuid(), os.Getgid()), c.Data...)
	}
	if c.Level != nil {
		m.Level = *c.Level
	}
	if c.Type != nil {
		m.Type = *c.Type
	}
	return m.Bytes()
}

func sent(n int, err error) (string, error) { return fmt.Sprintf("n=%d", n), err }

func sendmsg(a *args) (string, error) {
	m, err := a.outgoing(a.Values["payload"], a.Values["control"])
	if err != nil {
		return "", err
	}
	m.Name = a.sockaddr()
	m.NameLen = len(m.Name)
	return sent(m.Send(a.sock(), a.bits("flags", messageFlags)))
}

// inherit is the bit of kernel.Inherit, which is not a flag of the system.
const inherit = 1 << 29

var messageFlags = kernel.BitsOf("message flags", map[string]int{
	"dontwait":     unix.MSG_DONTWAIT,
	"nosignal":     unix.MSG_NOSIGNAL,
	"eor":          unix.MSG_EOR,
	"oob":          unix.MSG_OOB,
	"more":         unix.MSG_MORE,
	"peek":         unix.MSG_PEEK,
	"trunc":        unix.MSG_TRUNC,
	"ctrunc":       unix.MSG_CTRUNC,
	"waitall":      unix.MSG_WAITALL,
	"errqueue":     unix.MSG_ERRQUEUE,
	kernel.Inherit: inherit,
})

// maxName is the size of a buffer for any address of a socket.
const maxName = 128

func recvmsg(a *args) (string, error) {
	size := a.Values["control"]
	if size == nil {
		size = 0
	}
	m, err := a.incoming(a.Values["bytes"], size)
	if err != nil {
		return "", err
	}
	m.Name, m.NameLen = make([]byte, maxName), maxName
	n, err := m.Recv(a.sock(), a.receiveFlags())
	if err != nil {
		return "", err
	}
	got := a.received(m)
	name := formatName(m.Name[:min(m.NameLen, maxName)])
	text := fmt.Sprintf("n=%d payload=%s fds=%s control=%s controllen=%d flags=%s name=%s", n, a.filled(m, n),
		peer.FormatList(got.fds), got.text, m.ControlLen, peer.FormatFlags(m.Flags), name)
	return text + got.pidfdField(), nil
}

// receiveFlags returns flags=, with MSG_CMSG_CLOEXEC unless inherit is one of them.
func (a *args) receiveFlags() int {
	flags := a.bits("flags", messageFlags)
	if flags&inherit == 0 {
		flags |= unix.MSG_CMSG_CLOEXEC
	}
	return flags &^ inherit
}

// filled returns the payload of a received message of n bytes, for an answer.
func (a *args) filled(m *raw.Message, n int) string {
	return contract.FormatPayload(peer.Room{Buffers: m.Buffers}.Filled(n), a.integer("at", 0))
}

// control contains the control messages of a receive.
type control struct {
	text   string // the value of control= in an answer
	fds    []int
	pidfds []int
}

func (c control) pidfdField() string {
	if len(c.pidfds) == 0 {
		return ""
	}
	return " pidfd=" + peer.FormatList(c.pidfds)
}

// received parses the control messages of a receive. The peer closes the received descriptors after
// the case.
func (a *args) received(m *raw.Message) (got control) {
	var list []string
	for _, c := range raw.Parse(m.Control[:min(m.ControlLen, len(m.Control))]) {
		name := fmt.Sprintf("cmsg(%d,%d,%s)", c.Level, c.Type, cmp.Or(hex.EncodeToString(c.Data), "-"))
		integers := c.Int32s()
		if c.Level == unix.SOL_SOCKET {
			switch c.Type {
			case unix.SCM_RIGHTS:
				got.fds = append(got.fds, integers...)
				name = fmt.Sprintf("rights*%d", len(integers))
			case unix.SCM_CREDENTIALS:
				name = fmt.Sprintf("creds:%d", len(c.Data)) // truncated
				if len(integers) == 3 {
					name = fmt.Sprintf("creds(%d,%d,%d)", integers[0], integers[1], integers[2])
				}
			case unix.SCM_PIDFD:
				name = "pidfd"
				if len(integers) > 0 && integers[0] < 0 {
					name = fmt.Sprintf("pidfd(%d)", integers[0]) // an errno: the kernel installed no descriptor
				} else if len(integers) > 0 {
					got.pidfds = append(got.pidfds, integers[0])
				}
			case unix.SCM_TIMESTAMP:
				name = "timestamp"
			case unix.SCM_SECURITY:
				name = "security"
			case raw.SOInq:
				if len(integers) > 0 {
					name = fmt.Sprintf("inq(%d)", integers[0])
				}
			}
		}
		list = append(list, name)
	}
	a.Hold(got.fds...)
	a.Hold(got.pidfds...)
	got.text = contract.List(list)
	return got
}

func sendmmsg(a *args) (string, error) {
	ms, err := a.messages("payload", a.outgoing)
	if err != nil {
		return "", err
	}
	return sent(raw.SendMany(a.sock(), ms, a.bits("flags", messageFlags)))
}

// messages returns the messages of sendmmsg or recvmmsg, one for each part of a field.
func (a *args) messages(key string, one func(part, control any) (*raw.Message, error)) (ms []*raw.Message, err error) {
	parts := contract.Get(a.Command, key, []any(nil))
	controls := contract.Get(a.Command, "control", slices.Repeat([]any{"-"}, len(parts)))
	if len(controls) != len(parts) {
		return nil, fmt.Errorf("control= has %d parts for %d messages", len(controls), len(parts))
	}
	for i, part := range parts {
		m, err := one(part, controls[i])
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// recvmmsg receives at most one message for each part of bytes=.
func recvmmsg(a *args) (string, error) {
	ms, err := a.messages("bytes", a.incoming)
	if err != nil {
		return "", err
	}
	n, err := raw.RecvMany(a.sock(), ms, a.receiveFlags())
	if err != nil {
		return "", err
	}
	var payloads, controls []string
	var all control
	for _, m := range ms[:n] {
		got := a.received(m)
		payloads = append(payloads, a.filled(m, m.Len))
		controls = append(controls, got.text)
		all.fds = append(all.fds, got.fds...)
		all.pidfds = append(all.pidfds, got.pidfds...)
	}
	return fmt.Sprintf("n=%d payload=%s fds=%s control=%s", n, strings.Join(payloads, "|"), peer.FormatList(all.fds),
		strings.Join(controls, "|")) + all.pidfdField(), nil
}

func read(a *args) (string, error) {
	m, err := a.incoming(a.Values["bytes"], nil)
	if err != nil {
		return "", err
	}
	n, err := unix.Readv(a.fd(), m.Buffers)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("n=%d payload=%s", n, a.filled(m, n)), nil
}

func write(a *args) (string, error) {
	m, err := a.outgoing(a.Values["payload"], nil)
	if err != nil {
		return "", err
	}
	return sent(unix.Writev(a.fd(), m.Buffers))
}

// splice moves bytes from the first of fds= to the second.
func splice(a *args) (string, error) {
	from, to := a.two()
	n, err := unix.Splice(from, nil, to, nil, a.integer("bytes", 0), unix.SPLICE_F_NONBLOCK)
	return sent(int(n), err)
}

func sendfile(a *args) (string, error) {
	from, to := a.two()
	return sent(unix.Sendfile(to, from, nil, a.integer("bytes", 0)))
}
