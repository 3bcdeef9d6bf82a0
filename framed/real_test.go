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

// order is the byte order of Wayland.
var order = binary.NativeEndian

func number(n int) string { return string(order.AppendUint32(nil, uint32(n))) }

// program returns the path of a program. debian is the Debian package that has it.
func program(t *testing.T, debian, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		fdtest.Missing(t, name, "no "+name+" in PATH (Debian: "+debian+")")
	}
	return path
}

// partner is a connection to a program. Its input is read ahead.
type partner struct {
	*scm.Conn
	r    *framed.Reader
	in   *bufio.Reader
	wait func() error // waits until the program ends
}

// start starts a program, which gets one end of a connection as descriptor 3. The program is killed at the end of
// the test.
func start(t *testing.T, name string, args ...string) *partner {
	t.Helper()
	a, b := connect(t, scm.Config{})
	end, err := b.File()
	fdtest.Must(t, err)
	said, before := new(bytes.Buffer), fdtest.Take()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.WaitDelay = said, said, []*os.File{end}, timeout
	fdtest.Must(t, cmd.Start())
	_, _ = end.Close(), b.Close()
	r := framed.NewReader(a, framed.Limits{})
	p := &partner{a, r, bufio.NewReader(r), sync.OnceValue(cmd.Wait)}
	t.Cleanup(func() {
		_, _ = r.Close(), a.Close()
		err := p.wait()
		if left := before.NewSince(); len(left) > 0 {
			t.Errorf("left open: %v", left)
		}
		if !t.Skipped() { // the reason for a skip is the last line
			t.Logf("%s: %v\n%s", name, err, said)
		}
	})
	return p
}

// The test is a Wayland server that receives the memory pools of a libwayland client.
func TestWayland(t *testing.T) {
	cc, config := fdtest.Program(t, "cc"), program(t, "pkg-config", "pkg-config")
	flags, err := exec.Command(config, "--cflags", "--libs", "wayland-client").Output()
	if err != nil {
		fdtest.Missing(t, "wayland-client", "no wayland-client for pkg-config (Debian: libwayland-dev)")
	}
	client := filepath.Join(t.TempDir(), "client")
	args := append([]string{"-std=c99", "-D_GNU_SOURCE", "-o", client, "testdata/wayland.c"}, strings.Fields(string(flags))...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("WAYLAND_SOCKET", "3")
	p := start(t, client)
	send := func(text string) {
		_, err := p.Write([]byte(text))
		fdtest.Must(t, err)
	}
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
		fdtest.Must(t, err)
		object, opcode, size := order.Uint32(head), order.Uint16(head[4:]), order.Uint16(head[6:])
		request := make([]byte, size)
		_, err = io.ReadFull(p.in, request)
		fdtest.Must(t, err)
		arguments := request[8:]
		first, last := order.Uint32(arguments), order.Uint32(arguments[len(arguments)-4:])
		switch {
		case object == display && opcode == sync:
			// The second event frees the object's ID. Send both at once, because the client may end after the
			// last event it expects.
			send(event(first, 0, number(0)) + event(display, 1, number(int(first))))
		case object == display && opcode == getRegistry:
			registry = first
			send(event(registry, 0, number(1)+number(7)+"wl_shm\x00\x00"+number(1)))
		case object == registry:
			shm = last
		case object == shm:
			ahead = max(ahead, p.r.Waiting())
			files, err := p.r.Take(1)
			fdtest.Must(t, err)
			text := contentOf(t, files[0])
			if len(text) != int(last) || !strings.HasPrefix(text, fmt.Sprintf("pool of %d\n", last)) {
				t.Errorf("a pool of %d bytes has a file of %d bytes: %.20q", last, len(text), text)
			}
			pools++
		default:
			t.Fatalf("request %d of object %d", opcode, object)
		}
	}
	if err := p.wait(); err != nil || pools != 60 || ahead < 2 || p.r.Waiting() != 0 {
		t.Errorf("%d pools, at most %d descriptors in the queue, %d left: %v", pools, ahead, p.r.Waiting(), err)
	}
}

// contentOf returns the content of a file from its beginning, and closes the file.
func contentOf(t *testing.T, f *os.File) string {
	t.Helper()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	fdtest.Must(t, err)
	fdtest.Must(t, f.Close())
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
			p := start(t, python, filepath.Join("testdata", "varlink.py"), strconv.Itoa(messages), strconv.Itoa(c.batch))
			p.in = bufio.NewReaderSize(p.r, c.buffer)
			if _, err := p.in.Peek(1); err == io.EOF {
				var exit *exec.ExitError
				if err := p.wait(); errors.As(err, &exit) && exit.ExitCode() == 77 {
					t.Skip("no libsystemd with sd-varlink: systemd has it from version 257 on")
				}
			}
			for i := range messages {
				var m struct{ Parameters struct{ Index, Files int } }
				text, err := p.in.ReadBytes(0)
				fdtest.Must(t, err)
				fdtest.Must(t, json.Unmarshal(text[:len(text)-1], &m))
				var files []*os.File
				if c.byCount {
					files, err = p.r.Take(m.Parameters.Files)
				} else {
					files, err = p.r.TakeUpTo(p.r.Offset() - int64(p.in.Buffered()))
				}
				fdtest.Must(t, err)
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
			fdtest.Must(t, p.wait())
		})
	}
}
