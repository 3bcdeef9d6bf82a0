//go:build linux

package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/sys"
)

// denied calls f in a thread in which a system call fails. If another one takes its place there, it skips the test.
func denied(t *testing.T, call uint32, errno unix.Errno, probe, f func() error) error {
	t.Helper()
	effective := false
	err := <-inBackground(func() error {
		runtime.LockOSThread() // the thread ends with this goroutine
		deny(call, errno)
		effective = errors.Is(probe(), errno)
		return f()
	})
	if !effective {
		t.Skip("this architecture makes the call with socketcall(2)")
	}
	return err
}

// A system call that fails is not another reason why an address is in use.
func TestListenKeepsTheErrorOfASystemCall(t *testing.T) {
	noLeak(t)
	sock := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(sock)
	for _, c := range []struct {
		name  string
		call  uint32
		errno unix.Errno
		probe func() error
	}{
		{"getsockname", unix.SYS_GETSOCKNAME, unix.EPERM, func() error { _, err := unix.Getsockname(sock); return err }},
		{"getsockopt", unix.SYS_GETSOCKOPT, unix.ENOSYS, func() error { _, err := sys.Listening(sock); return err }},
		{"fcntl", unix.SYS_FCNTL, unix.EPERM, func() error { _, err := unix.FcntlInt(uintptr(sock), unix.F_GETFD, 0); return err }},
	} {
		for _, known := range []bool{false, true} { // whether the address has been asked for before
			t.Run(fmt.Sprint(c.name, " ", known), func(t *testing.T) {
				p := start(t, Config{}, socketPath(t))
				port := freePort(t)
				f, _ := unitSocket(t, "tcp", "4", port)
				passes(p, "web", f)
				if known {
					_, err := p.succession.inherited[0].bound()
					fdtest.Must(t, err)
				}
				err := denied(t, c.call, c.errno, c.probe, func() error {
					_, err := p.Listen(patient(t), "web", "tcp4", fmt.Sprint("0.0.0.0:", port))
					return err
				})
				if !errors.Is(err, c.errno) {
					t.Errorf("got %v, want %v", err, c.errno)
				}
			})
		}
	}
}

// A process that may not connect is not the first one.
func TestStartFailsIfItMayNotConnect(t *testing.T) {
	noLeak(t)
	a := startReady(t, Config{})
	sock := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(sock)
	for name, c := range map[string]struct {
		call  uint32
		probe func() error
	}{
		"socket": {unix.SYS_SOCKET, func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}},
		"getsockopt": {unix.SYS_GETSOCKOPT, func() error { _, err := sys.Listening(sock); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			err := denied(t, c.call, unix.ENOSYS, c.probe, func() error {
				p, err := Start(patient(t), a.path)
				if err == nil {
					_ = p.Close()
				}
				return err
			})
			if !errors.Is(err, unix.ENOSYS) {
				t.Errorf("got %v, want ENOSYS", err)
			}
		})
	}
}

// A path is lost only if it leads nowhere, or to another file.
func TestIsLostOnlyWithEvidence(t *testing.T) {
	path := socketPath(t)
	in := &inherited{socket: socket{Created: true, FileID: sys.FileID{Device: "1", Inode: "1"}}}
	fdtest.Must(t, errors.Join(os.WriteFile(path+".file", nil, 0o600), os.Symlink(path+".loop", path+".loop")))
	for path, want := range map[string]bool{
		path: true, path + ".file/socket": true, path + ".loop": true, path + ".file": true,
		path + strings.Repeat("x", 256): false, // ENAMETOOLONG
	} {
		if got := in.isLost(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

// The error names the socket that has the address, if one of several has it.
func TestListenNamesTheSocketThatOverlaps(t *testing.T) {
	noLeak(t)
	needsIPv6(t)
	port := freePort(t)
	p := start(t, Config{}, socketPath(t))
	for _, families := range []string{"4", "6"} {
		f, _ := unitSocket(t, "tcp", families, port)
		passes(p, families, f)
	}
	for address, want := range map[string]string{"[::1]": "6", "127.0.0.1": "4"} {
		_, err := p.Listen(patient(t), "web", "tcp", fmt.Sprintf("%s:%d", address, port))
		wantError(t, err, fmt.Sprintf("overlaps that of the received socket %q", want))
	}
	used := must(net.Listen("tcp", "127.0.0.1:0"))
	defer used.Close()
	_, usedPort, _ := net.SplitHostPort(used.Addr().String())
	other := must(net.Listen("tcp", "127.0.0.2:"+usedPort))
	passes(p, "other", must(other.(*net.TCPListener).File()))
	_ = other.Close()
	_, err := p.Listen(patient(t), "web", "tcp", used.Addr().String())
	wantError(t, err, "no predecessor was waiting")
	l := listen(t, p, "own", "tcp", "127.0.0.1:0")
	_, err = p.Listen(patient(t), "web", "tcp", l.Addr().String())
	wantError(t, err, `this process already uses the address, as "own"`)
}

func TestUpgradeSaysWhyASuccessorMayHaveBeenKilled(t *testing.T) {
	p := startReady(t, Config{})
	wantError(t, p.Upgrade(patient(t), reexec.Command("is killed")), "signal: killed, as the kernel does if memory runs out")
}
