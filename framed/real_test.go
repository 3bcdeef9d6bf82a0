//go:build linux

package framed_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
)

// In these tests the partner is a real program, which the test starts and ends.

// timeout is how long a program may take.
const timeout = time.Minute

// order is the byte order of Wayland, and of a D-Bus daemon's own messages.
var order = binary.NativeEndian

// program returns the path of the first of the programs that is installed. debian is the Debian package
// that has them.
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

// start starts a program, which gets the files as descriptors 3, 4, and so on. wait waits until it ends.
// The program is killed at the end of the test.
func start(t *testing.T, files []*os.File, name string, args ...string) (wait func() error) {
	t.Helper()
	said, before := new(bytes.Buffer), fdtest.Take()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.WaitDelay = said, said, files, timeout
	must(t, cmd.Start())
	wait = sync.OnceValue(cmd.Wait)
	t.Cleanup(func() {
		err := wait()
		if left := before.NewSince(); len(left) > 0 {
			t.Errorf("left open: %v", left)
		}
		if !t.Skipped() { // the reason for a skip is the last line
			t.Logf("%s: %v\n%s", name, err, said)
		}
	})
	return wait
}

// partner is a connection to a program. Its input is read ahead.
type partner struct {
	*testing.T
	r  *framed.Reader
	w  *framed.Writer
	in *bufio.Reader
}

// newPartner returns a partner for conn, which it closes at the end of the test.
func newPartner(t *testing.T, conn *scm.Conn) *partner {
	t.Helper()
	r := framed.NewReader(conn, framed.Limits{})
	t.Cleanup(func() { _, _ = r.Close(), conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(timeout)))
	return &partner{t, r, framed.NewWriter(conn), bufio.NewReader(r)}
}

// dial connects to a socket that a program is about to create.
func dial(t *testing.T, path string) *partner {
	t.Helper()
	return newPartner(t, fdtest.Connect(t, func() (*scm.Conn, error) { return scm.Dial(t.Context(), "unix", path) }))
}

// send sends each piece with one Write, and the files with the first piece.
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

// ask sends a line and reads a line, which must begin with answer.
func (p *partner) ask(answer, line string, files ...*os.File) {
	p.Helper()
	p.send(files, []byte(line))
	got, err := p.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, answer) {
		p.Fatalf("the answer to %q is %q, %v", line, got, err)
	}
}

// The codes of the D-Bus header fields that the tests use, and the types of all nine fields.
const busPath, busMember, busDestination, busSignature, busFiles, busTypes = 1, 3, 6, 8, 9, " osssussgu"

// busMessage is a D-Bus message.
type busMessage struct {
	kind   byte
	serial uint32
	fields map[byte]string // an integer is encoded in 4 bytes
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
	mark := byte('l') // little endian
	if order.Uint16([]byte{0, 1}) == 1 {
		mark = 'B'
	}
	head := string([]byte{mark, m.kind, 0, 1}) + number(len(m.body)) + number(int(m.serial)) + number(len(fields))
	return align(append([]byte(head), fields...))
}

// busMessage reads a message. It leaves the descriptors in the queue.
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

// joinBus connects to the bus and returns the connection and its name on the bus.
func joinBus(t *testing.T, path string) (p *partner, name string) {
	t.Helper()
	p = dial(t, path)
	p.ask("OK ", fmt.Sprintf("\x00AUTH EXTERNAL %x\r\n", fmt.Sprint(os.Getuid())))
	p.ask("AGREE_UNIX_FD\r\n", "NEGOTIATE_UNIX_FD\r\n")
	hello := map[byte]string{busPath: "/org/freedesktop/DBus", busMember: "Hello", busDestination: "org.freedesktop.DBus"}
	p.send(nil, []byte("BEGIN\r\n"), busMessage{kind: 1, serial: 1, fields: hello}.header())
	m := p.busMessage()
	if len(m.body) < 5 || m.kind != 2 {
		t.Fatalf("the answer to Hello is %+v", m)
	}
	return p, string(m.body[4 : len(m.body)-1])
}

// Two connections send signals to each other, in one piece or in two.
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
			for m.fields[busMember] != "Files" { // the bus sends signals of its own
				m = b.busMessage()
			}
			if m.serial != uint32(100+i) || m.fields[busFiles] != number(n) || !bytes.Equal(m.body, bodies[i]) {
				t.Fatalf("message %d: serial %d, fields %q, %d bytes", i, m.serial, m.fields, len(m.body))
			}
			if got, err := b.r.Take(n); !same(got, files[:n]) {
				t.Fatalf("message %d: the files differ, %v", i, err)
			}
		}
		if n := b.r.Waiting(); n != 0 {
			t.Errorf("%d descriptors in the queue", n)
		}
		a, nameOfA, b, nameOfB = b, nameOfB, a, nameOfA
	}
}

// The test is a Wayland server that receives the memory pools of a libwayland client.
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

	p := newPartner(t, a)
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
			// The second event frees the object's ID. Send both at once, because the client may end after the
			// last event it expects.
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
				t.Errorf("a pool of %d bytes has a file of %d bytes, %v: %.20q", last, len(text), err, text)
			}
			_ = files[0].Close()
			pools++
		default:
			t.Fatalf("request %d of object %d", opcode, object)
		}
	}
	if err := wait(); err != nil || pools != 60 || ahead < 2 || p.r.Waiting() != 0 {
		t.Errorf("%d pools, at most %d descriptors in the queue, %d left: %v", pools, ahead, p.r.Waiting(), err)
	}
}

// QEMU keeps a descriptor under a name until closefd.
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
			t.Errorf("QEMU does not hold the write end before closefd: %v", err)
		}
		p.ask(done, closefd)
		must(t, r.SetReadDeadline(time.Now().Add(timeout)))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("QEMU holds the write end after closefd: %v", err)
		}
		p.ask(refused, closefd)
	}
}

// varlinkMessage is a message of testdata/varlink.py.
type varlinkMessage struct {
	Parameters struct{ Index, Files int }
}

// readVarlink reads a message and the zero byte after it.
func (p *partner) readVarlink(message any) {
	p.Helper()
	text, err := p.in.ReadBytes(0)
	must(p, err)
	must(p, json.Unmarshal(text[:len(text)-1], message))
}

// takeMessage takes the files of the message that was read last.
func (p *partner) takeMessage() []*os.File {
	p.Helper()
	files, err := p.r.TakeUpTo(p.r.Offset() - int64(p.in.Buffered()))
	must(p, err)
	return files
}

// contentOf returns the content of a file from its beginning, and closes the file.
func contentOf(t *testing.T, f *os.File) string {
	t.Helper()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	must(t, err)
	must(t, f.Close())
	return string(text)
}

// The partner is a client made of sd-varlink, which sends one message or several with each sendmsg.
func TestVarlink(t *testing.T) {
	const messages = 600
	python := program(t, "python3", "python3")
	for _, c := range []struct {
		name          string
		batch, buffer int
		byCount       bool // take the files by the count in the message
	}{
		{"one message in each sendmsg, small buffer", 1, 16, false},
		{"one message in each sendmsg, large buffer", 1, 1 << 16, false},
		{"several messages in a sendmsg, large buffer", 5, 1 << 16, false},
		{"several messages in a sendmsg, small buffer, by count", 5, 16, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := connect(t, scm.Config{})
			end, err := b.File()
			must(t, err)
			wait := start(t, []*os.File{end}, python, filepath.Join("testdata", "varlink.py"), strconv.Itoa(messages), strconv.Itoa(c.batch))
			_, _ = end.Close(), b.Close()
			p := newPartner(t, a)
			p.in = bufio.NewReaderSize(p.r, c.buffer)
			if _, err := p.in.Peek(1); err == io.EOF {
				var exit *exec.ExitError
				if err := wait(); errors.As(err, &exit) && exit.ExitCode() == 77 {
					t.Skip("no libsystemd with sd-varlink: systemd has it from version 257 on")
				}
			}
			for i := range messages {
				var m varlinkMessage
				p.readVarlink(&m)
				var files []*os.File
				if c.byCount {
					files, err = p.r.Take(m.Parameters.Files)
					must(t, err)
				} else {
					files = p.takeMessage()
				}
				if m.Parameters.Index != i || len(files) != m.Parameters.Files {
					t.Fatalf("message %d has index %d and %d files, want %d", i, m.Parameters.Index, len(files), m.Parameters.Files)
				}
				for j, f := range files {
					if got, want := contentOf(t, f), fmt.Sprintf("file %d of message %d", j, i); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			}
			if _, err := p.in.ReadByte(); err != io.EOF || p.r.Waiting() != 0 {
				t.Errorf("after the last message: %v, %d descriptors in the queue", err, p.r.Waiting())
			}
			must(t, wait())
		})
	}
}

// varlinkctl sends a file with a call, and passes the file of the answer to a command.
func TestVarlinkctl(t *testing.T) {
	ctl, err := exec.LookPath("varlinkctl")
	if err != nil {
		t.Skip("no varlinkctl with --push-fd: systemd has it from version 258 on")
	}
	if help, err := exec.Command(ctl, "--help").CombinedOutput(); err != nil || !bytes.Contains(help, []byte("--push-fd")) {
		t.Skip("varlinkctl has no --push-fd: systemd has it from version 258 on")
	}
	path := filepath.Join(t.TempDir(), "varlink")
	l, err := scm.Listen(t.Context(), "unix", path)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	must(t, l.SetDeadline(time.Now().Add(timeout)))
	sent := open(t, 2)
	_, err = sent[1].WriteString("the answer's file")
	must(t, err)
	_, err = sent[1].Seek(0, io.SeekStart)
	must(t, err)

	output := filepath.Join(t.TempDir(), "output")
	wait := start(t, sent[:1], ctl, "--push-fd=3", "--exec", "call", path, "org.example.Exchange", `{"text":"x"}`,
		"--", "sh", "-c", "cat <&3 >"+output)
	conn, err := l.AcceptConn()
	must(t, err)
	p := newPartner(t, conn)
	var call struct{ Method string }
	p.readVarlink(&call)
	if files := p.takeMessage(); call.Method != "org.example.Exchange" || !same(files, sent[:1]) {
		t.Errorf("got the call %+v with %d files", call, len(files))
	}
	p.send(sent[1:], []byte(`{"parameters":{"text":"y"}}`+"\x00"))
	must(t, wait())
	text, err := os.ReadFile(output)
	if string(text) != "the answer's file" {
		t.Errorf("the command read %q, %v", text, err)
	}
}
