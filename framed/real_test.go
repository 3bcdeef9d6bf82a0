//go:build linux

package framed_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
)

// Programs at the other end that are real ones. Each is started by the test, and ends with it.

// patience is how long a program may take.
const patience = time.Minute

// program returns the path of the first program that there is; one of Debian's packages has it.
func program(t *testing.T, debian string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	fdtest.Missing(t, "no "+strings.Join(names, ", ")+" in PATH (Debian: "+debian+")")
	return ""
}

// start starts a program, which has the files from descriptor 3 on, and ends with the test. wait waits
// for it.
func start(t *testing.T, files []*os.File, name string, args ...string) (wait func() error) {
	t.Helper()
	said := new(bytes.Buffer)
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.WaitDelay = said, said, files, patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait = sync.OnceValue(cmd.Wait)
	t.Cleanup(func() {
		if err := wait(); t.Failed() {
			t.Logf("%s: %v\n%s", name, err, said)
		}
	})
	return wait
}

// nothingLeft sees to it that at the end of the test no number is open that was not before.
func nothingLeft(t *testing.T) {
	before := fdtest.Take()
	t.Cleanup(func() {
		if left := before.NewSince(); len(left) > 0 {
			t.Errorf("left open: %v", left)
		}
	})
}

// A partner is a connection to a program, which is read ahead.
type partner struct {
	*testing.T
	conn *scm.Conn
	r    *framed.Reader
	w    *framed.Writer
	in   *bufio.Reader
}

// talk makes a partner of a connection, until the end of the test.
func talk(t *testing.T, conn *scm.Conn) *partner {
	t.Helper()
	r := framed.NewReader(conn, framed.Limits{})
	t.Cleanup(func() { _, _ = r.Close(), conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &partner{t, conn, r, framed.NewWriter(conn), bufio.NewReader(r)}
}

// dial connects to a socket that a program is about to make.
func dial(t *testing.T, path string) *partner {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := scm.Dial(t.Context(), "unix", path)
		if err == nil {
			return talk(t, conn)
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// send sends the pieces one by one, and the files with the first.
func (p *partner) send(files []*os.File, pieces ...[]byte) {
	p.Helper()
	if err := p.w.Attach(files...); err != nil {
		p.Fatal(err)
	}
	for _, piece := range pieces {
		if _, err := p.w.Write(piece); err != nil {
			p.Fatal(err)
		}
	}
}

// read reads n bytes.
func (p *partner) read(n int) []byte {
	p.Helper()
	bytes := make([]byte, n)
	if _, err := io.ReadFull(p.in, bytes); err != nil {
		p.Fatal(err)
	}
	return bytes
}

// ask sends a line, and returns the one that answers it.
func (p *partner) ask(line string, files ...*os.File) string {
	p.Helper()
	if line != "" {
		p.send(files, []byte(line+"\r\n"))
	}
	answer, err := p.in.ReadString('\n')
	if err != nil {
		p.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// take takes n descriptors, which are closed at the end of the test at the latest.
func (p *partner) take(n int) []*os.File {
	p.Helper()
	files, err := p.r.Take(n)
	if err != nil {
		p.Fatal(err)
	}
	for _, f := range files {
		p.Cleanup(func() { _ = f.Close() })
	}
	return files
}

var order = binary.LittleEndian

// align appends what is missing to a multiple of n bytes.
func align(b []byte, n int) []byte { return append(b, make([]byte, -len(b)&(n-1))...) }

// busString is a string of D-Bus.
func busString(b []byte, s string) []byte {
	return append(append(order.AppendUint32(align(b, 4), uint32(len(s))), s...), 0)
}

// The kinds of messages of D-Bus, and the header's fields that the test uses.
const (
	busCall, busSignal                                                                  = 1, 4
	busPath, busInterface, busMember, busDestination, busSender, busSignature, busFiles = 1, 2, 3, 6, 7, 8, 9
)

// A busMessage is a message of D-Bus.
type busMessage struct {
	kind   byte
	serial uint32
	fields map[byte]string // those that are strings
	files  int
	body   []byte
}

// encode returns the header and the body.
func (m busMessage) encode() (header, body []byte) {
	var fields []byte
	for id, value := range m.fields {
		fields = append(align(fields, 8), id, 1)
		switch id {
		case busPath:
			fields = busString(append(fields, 'o', 0), value)
		case busSignature:
			fields = append(append(append(fields, 'g', 0, byte(len(value))), value...), 0)
		default:
			fields = busString(append(fields, 's', 0), value)
		}
	}
	if m.files > 0 {
		fields = order.AppendUint32(append(align(fields, 8), busFiles, 1, 'u', 0), uint32(m.files))
	}
	header = []byte{'l', m.kind, 0, 1}
	for _, n := range []int{len(m.body), int(m.serial), len(fields)} {
		header = order.AppendUint32(header, uint32(n))
	}
	return align(append(header, fields...), 8), m.body
}

// busMessage reads a message, just far enough for the test; its descriptors are to be taken.
func (p *partner) busMessage() (m busMessage) {
	p.Helper()
	head := p.read(16)
	if head[0] != 'l' {
		p.Fatalf("a message begins with %q", head)
	}
	m.kind, m.serial, m.fields = head[1], order.Uint32(head[8:]), map[byte]string{}
	length := int(order.Uint32(head[12:]))
	fields := p.read(length + -length&7)[:length]
	m.body = p.read(int(order.Uint32(head[4:])))
	for at := 0; at < length; at += -at & 7 {
		id, kind := fields[at], fields[at+2]
		at += 4
		switch n := int(fields[at]); {
		case kind == 'g':
			m.fields[id], at = string(fields[at+1:at+1+n]), at+n+2
		case kind == 'u':
			if at += 4; id == busFiles {
				m.files = int(order.Uint32(fields[at-4:]))
			}
		default:
			n = int(order.Uint32(fields[at:]))
			m.fields[id], at = string(fields[at+4:at+4+n]), at+n+5
		}
	}
	return m
}

// joinBus connects to the bus, and returns the connection's name there.
func joinBus(t *testing.T, path string) (p *partner, name string) {
	t.Helper()
	p = dial(t, path)
	p.send(nil, []byte{0})
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Getuid())))
	if answer := p.ask("AUTH EXTERNAL " + uid); !strings.HasPrefix(answer, "OK ") {
		t.Fatal(answer)
	}
	if answer := p.ask("NEGOTIATE_UNIX_FD"); answer != "AGREE_UNIX_FD" {
		t.Fatal(answer)
	}
	const bus = "org.freedesktop.DBus"
	header, body := busMessage{kind: busCall, serial: 1, fields: map[byte]string{
		busPath: "/org/freedesktop/DBus", busInterface: bus, busMember: "Hello", busDestination: bus,
	}}.encode()
	p.send(nil, []byte("BEGIN\r\n"), header, body)
	m := p.busMessage()
	if len(m.body) < 5 {
		t.Fatalf("Hello is answered by %+v", m)
	}
	return p, string(m.body[4 : len(m.body)-1])
}

// Each of two connections sends signals to the other, which have 0 to 3 descriptors.
func TestDBus(t *testing.T) {
	daemon := program(t, "dbus-daemon", "dbus-daemon")
	nothingLeft(t)
	path, files := filepath.Join(t.TempDir(), "bus"), open(t, 3)
	start(t, nil, daemon, "--session", "--nofork", "--address=unix:path="+path)
	a, nameOfA := joinBus(t, path)
	b, nameOfB := joinBus(t, path)
	// How many descriptors each message has, and how many bytes beside them.
	counts, sizes := []int{2, 0, 0, 3, 1, 1, 0, 2, 3, 0}, []int{0, 1, 70_000, 5_000, 0}
	for _, way := range []struct {
		from, to         *partner
		sender, receiver string
	}{{a, b, nameOfA, nameOfB}, {b, a, nameOfB, nameOfA}} {
		var bodies [][]byte
		for i, n := range counts {
			var body []byte
			for index := range n {
				body = order.AppendUint32(body, uint32(index))
			}
			size := sizes[i%len(sizes)]
			body = append(order.AppendUint32(body, uint32(size)), bytes.Repeat([]byte{byte(i)}, size)...)
			bodies = append(bodies, body)
			header, body := busMessage{kind: busSignal, serial: uint32(100 + i), files: n, body: body, fields: map[byte]string{
				busPath: "/scm", busInterface: "scm.Test", busMember: "Files", busDestination: way.receiver,
				busSignature: strings.Repeat("h", n) + "ay",
			}}.encode()
			if i%2 == 0 {
				header, body = slices.Concat(header, body), nil
			}
			way.from.send(files[:n], header, body)
		}
		for i, n := range counts {
			m := way.to.busMessage()
			for m.fields[busMember] != "Files" { // the bus has news of its own
				m = way.to.busMessage()
			}
			if m.files != n || m.serial != uint32(100+i) || m.fields[busSender] != way.sender || !bytes.Equal(m.body, bodies[i]) {
				t.Fatalf("message %d: %d files, serial %d from %s, %d bytes", i, m.files, m.serial, m.fields[busSender], len(m.body))
			}
			if !same(way.to.take(n), files[:n]) {
				t.Fatalf("message %d has other files", i)
			}
		}
		if n := way.to.r.Waiting(); n != 0 {
			t.Errorf("%d descriptors wait", n)
		}
	}
}
