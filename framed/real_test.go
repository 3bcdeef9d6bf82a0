//go:build linux

package framed_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
)

// Real programs at the other end. Each is started by a test, and ends with it.

// patience is how long a program may take.
const patience = time.Minute

var order = binary.LittleEndian

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// program returns the path of the first program that is there; Debian has it in a package.
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

// start starts a program, which has the files from descriptor 3 on; wait waits for it. At the end
// of the test it is killed.
func start(t *testing.T, files []*os.File, name string, args ...string) (wait func() error) {
	t.Helper()
	said, before := new(bytes.Buffer), fdtest.Take()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.WaitDelay = said, said, files, patience
	must(t, cmd.Start())
	wait = sync.OnceValue(cmd.Wait)
	t.Cleanup(func() {
		err := wait()
		if left := before.NewSince(); len(left) > 0 {
			t.Errorf("left open: %v", left)
		}
		t.Logf("%s: %v\n%s", name, err, said)
	})
	return wait
}

// A partner is a connection to a program, which is read ahead.
type partner struct {
	*testing.T
	r  *framed.Reader
	w  *framed.Writer
	in *bufio.Reader
}

// talk makes a partner of a connection, until the end of the test.
func talk(t *testing.T, conn *scm.Conn) *partner {
	t.Helper()
	r := framed.NewReader(conn, framed.Limits{})
	t.Cleanup(func() { _, _ = r.Close(), conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return &partner{t, r, framed.NewWriter(conn), bufio.NewReader(r)}
}

// dial connects to the socket that a program is about to make.
func dial(t *testing.T, path string) *partner {
	t.Helper()
	return talk(t, fdtest.Connect(t, func() (*scm.Conn, error) { return scm.Dial(t.Context(), "unix", path) }))
}

// send sends the pieces one by one, and the files with the first.
func (p *partner) send(files []*os.File, pieces ...[]byte) {
	p.Helper()
	must(p, p.w.Attach(files...))
	for _, piece := range pieces {
		_, err := p.w.Write(piece)
		must(p, err)
	}
}

func (p *partner) read(n int) []byte {
	p.Helper()
	bytes := make([]byte, n)
	_, err := io.ReadFull(p.in, bytes)
	must(p, err)
	return bytes
}

// ask sends a line, and reads one, which begins with the answer.
func (p *partner) ask(answer, line string, files ...*os.File) {
	p.Helper()
	p.send(files, []byte(line))
	got, err := p.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, answer) {
		p.Fatalf("%q is answered by %q, %v", line, got, err)
	}
}

// The fields of a D-Bus header that the tests use, and the types of all nine.
const busPath, busMember, busDestination, busSignature, busFiles, busTypes = 1, 3, 6, 8, 9, " osssussgu"

// A busMessage is a message of D-Bus.
type busMessage struct {
	kind   byte
	serial uint32
	fields map[byte]string // a number is 4 bytes
	body   []byte
}

func align(b []byte) []byte { return append(b, make([]byte, -len(b)&7)...) }

func number(n int) string { return string(order.AppendUint32(nil, uint32(n))) }

func (m busMessage) header() []byte {
	var fields []byte
	for id, value := range m.fields {
		fields = append(align(fields), id, 1, busTypes[id], 0)
		switch busTypes[id] {
		case 'g':
			value = string(rune(len(value))) + value + "\x00"
		case 'o', 's':
			value = number(len(value)) + value + "\x00"
		}
		fields = append(fields, value...)
	}
	head := string([]byte{'l', m.kind, 0, 1}) + number(len(m.body)) + number(int(m.serial)) + number(len(fields))
	return align(append([]byte(head), fields...))
}

// busMessage reads a message, whose descriptors are still to be taken.
func (p *partner) busMessage() (m busMessage) {
	p.Helper()
	head := p.read(16)
	length := int(order.Uint32(head[12:]))
	fields := p.read(length + -length&7)
	m = busMessage{head[1], order.Uint32(head[8:]), map[byte]string{}, p.read(int(order.Uint32(head[4:])))}
	for at := 0; at < length; at += -at & 7 {
		id, kind := fields[at], fields[at+2]
		at += 4
		size, end := 4, 0
		switch kind {
		case 'g':
			size, end = int(fields[at]), 1
			at++
		case 'o', 's':
			size, end = int(order.Uint32(fields[at:])), 1
			at += 4
		}
		m.fields[id] = string(fields[at : at+size])
		at += size + end
	}
	return m
}

// joinBus connects to the bus, and returns the connection's name there.
func joinBus(t *testing.T, path string) (p *partner, name string) {
	t.Helper()
	p = dial(t, path)
	p.ask("OK ", fmt.Sprintf("\x00AUTH EXTERNAL %x\r\n", fmt.Sprint(os.Getuid())))
	p.ask("AGREE_UNIX_FD\r\n", "NEGOTIATE_UNIX_FD\r\n")
	hello := map[byte]string{busPath: "/org/freedesktop/DBus", busMember: "Hello", busDestination: "org.freedesktop.DBus"}
	p.send(nil, []byte("BEGIN\r\n"), busMessage{kind: 1, serial: 1, fields: hello}.header())
	m := p.busMessage()
	if len(m.body) < 5 || m.kind != 2 {
		t.Fatalf("Hello is answered by %+v", m)
	}
	return p, string(m.body[4 : len(m.body)-1])
}

// Each of two connections sends signals to the other, in one piece or in two.
func TestDBus(t *testing.T) {
	daemon := program(t, "dbus-daemon", "dbus-daemon")
	path, files := filepath.Join(t.TempDir(), "bus"), open(t, 3)
	start(t, nil, daemon, "--session", "--nofork", "--address=unix:path="+path)
	a, nameOfA := joinBus(t, path)
	b, nameOfB := joinBus(t, path)
	counts, sizes := []int{2, 0, 0, 3, 1, 1, 0, 2, 3, 0}, []int{0, 1, 70_000, 5_000, 0}
	for range 2 {
		var bodies [][]byte
		for i, n := range counts {
			size := sizes[i%len(sizes)]
			indices := (number(0) + number(1) + number(2))[:4*n]
			bodies = append(bodies, []byte(indices+number(size)+strings.Repeat("x", size)))
			m := busMessage{4, uint32(100 + i), map[byte]string{
				busPath: "/scm", 2: "scm.Test", busMember: "Files", busDestination: nameOfB,
				busSignature: strings.Repeat("h", n) + "ay", busFiles: number(n),
			}, bodies[i]}
			if i%2 == 0 {
				a.send(files[:n], m.header(), m.body)
			} else {
				a.send(files[:n], append(m.header(), m.body...))
			}
		}
		for i, n := range counts {
			m := b.busMessage()
			for m.fields[busMember] != "Files" { // the bus has news of its own
				m = b.busMessage()
			}
			if m.serial != uint32(100+i) || m.fields[busFiles] != number(n) || !bytes.Equal(m.body, bodies[i]) {
				t.Fatalf("message %d: serial %d, fields %q, %d bytes", i, m.serial, m.fields, len(m.body))
			}
			if got, err := b.r.Take(n); !same(got, files[:n]) {
				t.Fatalf("message %d: other files, %v", i, err)
			}
		}
		if n := b.r.Waiting(); n != 0 {
			t.Errorf("%d descriptors wait", n)
		}
		a, nameOfA, b, nameOfB = b, nameOfB, a, nameOfA
	}
}

// The test is the server, and takes the pools of a client that is made of libwayland.
func TestWayland(t *testing.T) {
	cc, config := program(t, "gcc", "cc"), program(t, "pkg-config", "pkg-config")
	flags, err := exec.Command(config, "--cflags", "--libs", "wayland-client").Output()
	if err != nil {
		fdtest.Missing(t, "no wayland-client for pkg-config (Debian: libwayland-dev)")
	}
	client := filepath.Join(t.TempDir(), "client")
	args := append([]string{"-std=c99", "-D_GNU_SOURCE", "-o", client, "testdata/wayland.c"}, strings.Fields(string(flags))...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	a, b := connect(t, scm.Config{})
	end, err := b.File()
	must(t, err)
	t.Setenv("WAYLAND_SOCKET", "3")
	wait := start(t, []*os.File{end}, client)
	_, _ = end.Close(), b.Close()

	p := talk(t, a)
	event := func(object uint32, opcode int, arguments string) string {
		return number(int(object)) + number((8+len(arguments))<<16|opcode) + arguments
	}
	const display, sync, getRegistry = 1, 0, 1
	var registry, shm, pools, ahead = uint32(0), uint32(0), 0, 0
	for {
		head, err := p.in.Peek(8)
		if err == io.EOF && len(head) == 0 {
			break
		}
		must(t, err)
		object, opcode, size := order.Uint32(head), order.Uint16(head[4:]), order.Uint16(head[6:])
		arguments := p.read(int(size))[8:]
		first, last := order.Uint32(arguments), order.Uint32(arguments[len(arguments)-4:])
		switch {
		case object == display && opcode == sync:
			// Its number is free again. In one piece: the client may end behind its last event.
			p.send(nil, []byte(event(first, 0, number(0))+event(display, 1, number(int(first)))))
		case object == display && opcode == getRegistry:
			registry = first
			p.send(nil, []byte(event(registry, 0, number(1)+number(7)+"wl_shm\x00\x00"+number(1))))
		case object == registry:
			shm = last
		case object == shm:
			ahead = max(ahead, p.r.Waiting())
			files, err := p.r.Take(1)
			must(t, err)
			text, err := io.ReadAll(io.NewSectionReader(files[0], 0, 1<<20))
			if err != nil || len(text) != int(last) || !bytes.HasPrefix(text, fmt.Appendf(nil, "pool of %d\n", last)) {
				t.Errorf("a pool of %d bytes has %d, %v: %.20q", last, len(text), err, text)
			}
			_ = files[0].Close()
			pools++
		default:
			t.Fatalf("request %d of object %d", opcode, object)
		}
	}
	if err := wait(); err != nil || pools != 60 || ahead < 2 || p.r.Waiting() != 0 {
		t.Errorf("%d pools, of which at most %d waited, and %d still do: %v", pools, ahead, p.r.Waiting(), err)
	}
}

// A name of QEMU's is for a descriptor of its own, until it is closed.
func TestQMP(t *testing.T) {
	qemu := program(t, "qemu-system-x86", "qemu-system-x86_64", "qemu-system-i386", "qemu-system-aarch64", "qemu-system-arm", "/usr/libexec/xen-qemu-system-i386")
	path := filepath.Join(t.TempDir(), "qmp")
	start(t, nil, qemu, "-accel", "tcg", "-accel", "qtest", "-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "unix:"+path+",server=on,wait=off")
	p := dial(t, path)
	p.ask(`{"QMP": {`, "")
	const done, refused = `{"return": {}}`, `{"error": {`
	const getfd, closefd = `{"execute": "getfd", "arguments": {"fdname": "pipe"}}`, `{"execute": "closefd", "arguments": {"fdname": "pipe"}}`
	p.ask(done, `{"execute": "qmp_capabilities"}`)
	for range 3 {
		r, w, err := os.Pipe()
		must(t, err)
		defer func() { _, _ = r.Close(), w.Close() }()
		p.ask(done, getfd, w)
		must(t, w.Close())
		p.ask(refused, getfd)
		must(t, r.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before closefd the pipe's end is met: %v", err)
		}
		p.ask(done, closefd)
		must(t, r.SetReadDeadline(time.Now().Add(patience)))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after closefd it is not: %v", err)
		}
		p.ask(refused, closefd)
	}
}
