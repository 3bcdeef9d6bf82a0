package recorder

import (
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

// The tests in this file record C peers of the interop suite, built from their sources.

const peerSources = "../../interop/peers/c"

// compiler returns the C compiler that Go would use.
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

// peer builds a peer with additional compiler flags.
func peer(t *testing.T, name string, flags ...string) (path string, err error) {
	t.Helper()
	cc := compiler(t)
	sources := []string{"buffers.c", strings.ReplaceAll(name, "-", "_") + ".c"}
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

// peerCommand returns a command that runs a peer with a pair of sockets and a file. The peer passes the
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

// A 32-bit libc may use socketcall, and csrc does not.
func TestPeers32(t *testing.T) {
	needsPtrace(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 runs programs of another width here")
	}
	path, err := peer(t, "csrc-pair", flags32...)
	if err != nil {
		fdtest.Missing(t, "the compiler cannot build for 386")
	}
	cmd := peerCommand(t, path)
	cmd.Stdout = io.Discard
	calls, err := Record(cmd, Options{})
	if err != nil || len(calls) != 2 {
		t.Fatalf("%v, %v", calls, err)
	}
	for i, name := range []string{"sendmsg", "recvmsg"} {
		k := &calls[i]
		if k.Arch.Name != "386" || k.Name() != name || k.Result != 5 || k.ViaSocketcall() {
			t.Errorf("recorded %v, by socketcall %v", k, k.ViaSocketcall())
		}
		if control := k.Exit.Messages[0].Control.Data; len(control) != 16 {
			t.Errorf("control data %x", control)
		}
	}
}
