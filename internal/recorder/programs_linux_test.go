package recorder

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Programs in C: the peers of the interop suite, built here from their sources.

const peerSources = "../../interop/peers/c"

// compiler is the C compiler that Go would use.
func compiler(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "CC").Output()
	cc := strings.Fields(string(out))
	if err != nil || len(cc) == 0 {
		fdtest.Missing(t, "go env CC names no C compiler")
	}
	if _, err := exec.LookPath(cc[0]); err != nil {
		fdtest.Missing(t, "no C compiler: "+err.Error())
	}
	return cc
}

// peer builds one of the peers, with flags before the sources.
func peer(t *testing.T, name string, flags ...string) (path string, err error) {
	t.Helper()
	cc := compiler(t)
	sources := []string{"loop.c", "words.c", "errno_name.c", strings.ReplaceAll(name, "-", "_") + ".c"}
	for i := range sources {
		sources[i] = filepath.Join(peerSources, sources[i])
	}
	library, err := filepath.Glob("../../csrc/*.c")
	if err != nil || len(library) == 0 {
		t.Fatal("csrc has no sources")
	}
	path = filepath.Join(t.TempDir(), name)
	args := slices.Concat(cc[1:], []string{"-std=c99", "-D_DEFAULT_SOURCE", "-O1", "-I../../csrc", "-o", path}, flags, sources, library)
	out, err := exec.Command(cc[0], args...).CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return path, err
}

func mustPeer(t *testing.T, name string) string {
	t.Helper()
	path, err := peer(t, name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// peerCommand is a peer with a pair of sockets and a file, which passes the
// file to itself.
func peerCommand(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(p[0]), "a"), os.NewFile(uintptr(p[1]), "b"), file}
	t.Cleanup(func() {
		for _, f := range cmd.ExtraFiles {
			_ = f.Close()
		}
	})
	cmd.Stdin = strings.NewReader("hello\nuse sock=3 fds=5\nsend payload=68656c6c6f fds=5\nuse sock=4\nrecv bytes=16 fds=1\nend\n")
	cmd.Stderr = os.Stderr
	return cmd
}

func TestPeers(t *testing.T) {
	needsPtrace(t)
	if runtime.GOARCH == "386" {
		t.Skip("the compiler builds for amd64")
	}
	record := func(path string) []Call {
		t.Helper()
		cmd := peerCommand(t, path)
		cmd.Stdout = io.Discard
		calls, err := Record(cmd, Options{})
		if err != nil || len(calls) != 2 || calls[0].Result != 5 || calls[1].Result != 5 {
			t.Fatalf("%s: %v, %v", path, calls, err)
		}
		return calls
	}
	pair := mustPeer(t, "csrc-pair")
	first, again, book := record(pair), record(pair), record(mustPeer(t, "book"))
	if d := Diff(first, again); d != nil {
		t.Errorf("csrc with itself: %v", d)
	}

	// The book leaves to chance what it does not set, in the msghdr and behind
	// the descriptor; csrc sets all of it.
	d := DiffSaid(book[:1], first[:1])
	unset := []string{"msg_flags", "padding after msg_namelen", "padding after msg_flags", "padding after cmsg_data"}
	if d == nil || !slices.Contains(unset, d.Field) || strings.Trim(d.TextB, "0") != "" || strings.Trim(d.TextA, "0") == "" {
		t.Errorf("the book against csrc: %v", d)
	}
	for _, b := range first[0].Entry {
		if b.What != Header && b.What != Control {
			continue
		}
		for _, f := range first[0].fields(&b, b.Data) {
			if bytes := cut(b.Data, f); (f.kind == padding || f.Name == "msg_flags") && strings.Trim(string(bytes), "\x00") != "" {
				t.Errorf("csrc: %s of %s is %x", f.Name, b.What, bytes)
			}
		}
	}
	if d := DiffSaid(book[1:], first[1:]); d == nil || d.Field != "flags" || d.TextA != "0" || d.TextB != "MSG_CMSG_CLOEXEC" {
		t.Errorf("receipts of the book and of csrc: %v", d)
	}
}

// A 32-bit libc may go through socketcall; csrc does not.
func TestPeers32(t *testing.T) {
	needsPtrace(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 runs programs of another width here")
	}
	flags := []string{"-m32", "-I/usr/include/x86_64-linux-gnu", "-static"}
	path, err := peer(t, "csrc-pair", flags...)
	if err != nil {
		fdtest.Missing(t, "the compiler cannot build for 386")
	}
	for _, c := range []struct {
		name, path string
		direct     bool
	}{{"csrc-pair", path, true}, {"book", "", false}} {
		if c.path == "" {
			if c.path, err = peer(t, c.name, flags...); err != nil {
				t.Fatal(err)
			}
		}
		cmd := peerCommand(t, c.path)
		cmd.Stdout = io.Discard
		calls, err := Record(cmd, Options{})
		if err != nil || len(calls) != 2 {
			t.Fatalf("%s: %v, %v", c.name, calls, err)
		}
		for i, name := range []string{"sendmsg", "recvmsg"} {
			k := &calls[i]
			if k.Arch.Name != "386" || k.Name() != name || k.Result != 5 || c.direct && k.ViaSocketcall() {
				t.Errorf("%s: recorded %v, by socketcall %v", c.name, k, k.ViaSocketcall())
			}
			if control := find(k.Exit, Control, 0, 0).data(); len(control) != 16 {
				t.Errorf("%s: control data %x", c.name, control)
			}
		}
	}
}

// halves makes 32-bit calls in a 64-bit program, with bits in the upper halves of its
// registers: sendmsg, and sendmsg by socketcall.
const halves = `
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
static long call(long nr, uint64_t b, uint64_t c, uint64_t d) {
	uint64_t top = 0xdeadULL << 32;
	__asm__ volatile("int $0x80" : "+a"(nr) : "b"(b | top), "c"(c | top), "d"(d | top) : "memory", "r8", "r9", "r10", "r11");
	return nr;
}
int main(void) {
	int s[2];
	uint32_t *m = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (m == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, s) != 0)
		return 1;
	uint32_t *iov = m + 16, *control = m + 32, *args = m + 48, *byte = m + 64;
#define LOW(p) ((uint32_t)(uintptr_t)(p))
	iov[0] = LOW(byte), iov[1] = 1;
	control[0] = 16, control[1] = SOL_SOCKET, control[2] = SCM_RIGHTS, control[3] = 0;
	m[2] = LOW(iov), m[3] = 1, m[4] = LOW(control), m[5] = 16;
	args[0] = s[0], args[1] = LOW(m), args[2] = 0;
	long first = call(370, s[0], LOW(m), 0);
	if (first == -38)
		return 2;
	return first == 1 && call(102, 16, LOW(args), 0) == 1 ? 0 : 1;
}
`

func TestUpperHalves(t *testing.T) {
	needsPtrace(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 has 32-bit calls in 64-bit programs")
	}
	cc, dir := compiler(t), t.TempDir()
	source, path := filepath.Join(dir, "halves.c"), filepath.Join(dir, "halves")
	if err := os.WriteFile(source, []byte(halves), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc[0], append(cc[1:], "-o", path, source)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if exit := new(exec.ExitError); errors.As(exec.Command(path).Run(), &exit) && exit.ExitCode() != 1 {
		t.Skip("the kernel has no 32-bit calls: " + exit.Error())
	}
	ways(t, func(t *testing.T, o Options) {
		calls, err := Record(exec.Command(path), o)
		if err != nil || len(calls) != 2 {
			t.Fatalf("%v, %v", calls, err)
		}
		for i := range calls {
			if text := calls[i].Text(); !strings.Contains(text, "sendmsg(") || !strings.Contains(text, "unix stream") ||
				!strings.Contains(text, "SCM_RIGHTS [0<") || !strings.HasSuffix(text, "= 1") {
				t.Error(text)
			}
		}
	})
}
