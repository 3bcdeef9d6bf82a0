//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/sys"
)

// bind calls Listen or ListenPacket, and returns the socket, its address and the number of its inode.
func bind(t *testing.T, p *Process, name, network, address string) (l io.Closer, at net.Addr, inode uint64) {
	t.Helper()
	if network == "unixgram" || strings.HasPrefix(network, "udp") {
		c, err := p.ListenPacket(patient(t), name, network, address)
		fdtest.Must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		l, at = c, c.LocalAddr()
	} else {
		s := listen(t, p, name, network, address)
		l, at = s, s.Addr()
	}
	var stat unix.Stat_t
	_ = withFD(l.(syscall.Conn), func(fd int) error { return unix.Fstat(fd, &stat) })
	return l, at, stat.Ino
}

// An address is not asked for again, except after an error.
func TestBoundAsksOnce(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0")).(*net.TCPListener)
	f := must(l.File())
	defer func() { _, _ = l.Close(), f.Close() }()
	var in inherited
	var got []net.Addr
	for _, in.file = range []*os.File{nil, f, nil} { // with nil, it cannot ask
		at, _ := in.bound()
		got = append(got, at)
	}
	if got[0] != nil || fmt.Sprint(got[1]) != l.Addr().String() || got[2] != got[1] {
		t.Error(got)
	}
}

// Clients may reach a socket in a directory that this process may not search.
func TestIsLostWithoutPermission(t *testing.T) {
	path := socketPath(t)
	in := &inherited{socket: socket{Created: true, FileID: sys.FileID{Device: "1", Inode: "1"}}}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { _ = unix.Setfsuid(os.Geteuid()) }()
	err := errors.Join(os.Chmod(filepath.Dir(path), 0), unix.Setfsuid(nobody))
	if err != nil || in.isLost(path) {
		t.Error("it cannot know", err)
	}
}

// RuntimeDirectory= in a service removes the file of its socket unit, and mounts the directory at its own place if the
// rest is read-only. A new file is another server's, as far as this process can know. In a container or another root,
// the directory need not exist, or is another one.
func TestPathOfAUnitsSocketIsGone(t *testing.T) {
	remove := func(_ *testing.T, path string) error { return os.Remove(path) }
	mount := func(fstype string, flags uintptr, from func(dir string) string) func(*testing.T, string) error {
		return func(t *testing.T, path string) error {
			fdtest.NeedRoot(t, "mount a directory")
			runtime.LockOSThread() // until its end, because it cannot return to the old namespace
			dir := filepath.Dir(path)
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			return errors.Join(os.Remove(path), unix.Unshare(unix.CLONE_NEWNS),
				unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount(from(dir), dir, fstype, flags, ""))
		}
	}
	for _, c := range []struct {
		what   string
		change func(t *testing.T, path string) error
		lost   bool
	}{
		{"as it was", func(*testing.T, string) error { return nil }, false},
		{"removed", remove, true},
		{"a regular file", func(t *testing.T, path string) error {
			return errors.Join(remove(t, path), os.WriteFile(path, nil, 0o600))
		}, true},
		{"another socket", func(t *testing.T, path string) error {
			_ = remove(t, path)
			l, err := net.Listen("unix", path)
			t.Cleanup(func() { _ = l.Close() })
			return err
		}, false},
		{"no directory", func(_ *testing.T, path string) error { return os.RemoveAll(filepath.Dir(path)) }, false},
		{"the directory, mounted", mount("", unix.MS_BIND, func(dir string) string { return dir }), true},
		{"another directory", mount("", unix.MS_BIND, func(string) string { return t.TempDir() }), false},
		{"another file system", mount("tmpfs", 0, func(string) string { return "none" }), false},
	} {
		for _, network := range []string{"unix", "unixgram"} {
			t.Run(c.what+", "+network, func(t *testing.T) {
				control, path := socketPath(t), filepath.Join(fdtest.ShortDir(t), "web")
				made, _, _ := bind(t, start(t, Config{}, path+".unit"), "web", network, path)
				f := must(made.(interface{ File() (*os.File, error) }).File())
				if !sys.SamePlace(int(f.Fd()), filepath.Dir(path)) {
					_ = f.Close()
					t.Skip("in a chroot, the kernel does not show which mount this is, and Listen is quiet")
				}
				fdtest.Must(t, c.change(t, path))
				for generation := range 2 {
					var log logged
					p := start(t, Config{Logger: log.logger()}, control)
					if generation == 0 {
						passes(p, "web", f)
					}
					_, _, _ = bind(t, p, "web", network, path)
					ready(t, p)
					if lost := log.has("WARN handover: clients cannot reach a received socket")(); lost != c.lost {
						t.Errorf("generation %d: logged %v", generation+1, lost)
					}
				}
			})
		}
	}
}

// The successor knows only the path that it asks for, where Config.Listen of the first process has created no socket.
func TestPathOfConfigListenIsNotGone(t *testing.T) {
	var log logged
	config := Config{Logger: log.logger(), Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, network, address+".elsewhere")
	}}
	a := start(t, config, socketPath(t))
	listen(t, a, "web", "unix", a.path+".web")
	ready(t, a)
	listen(t, start(t, config, a.path), "web", "unix", a.path+".web")
	if log.has("cannot reach a received socket")() {
		t.Errorf("%q", log.lines)
	}
}

// In a directory that is a symbolic link, ".." and $PWD lead elsewhere than the text says.
func TestPathsAreTheKernels(t *testing.T) {
	root := must(filepath.EvalSymlinks(fdtest.ShortDir(t)))
	up, in, link := root+"/up", root+"/up/in", root+"/link"
	fdtest.Must(t, errors.Join(os.MkdirAll(in, 0o700), os.Symlink(in, link), os.WriteFile(up+"/program", nil, 0o700)))
	t.Chdir(link) // sets $PWD
	p := start(t, Config{PIDFile: "../pid"}, "../socket")
	bind(t, p, "web", "unix", "../web")
	bind(t, p, "packets", "unixgram", "../packets")
	ready(t, p)
	defer func(old []string) { os.Args = old }(os.Args)
	os.Args = []string{"../program"}
	program, err := program()
	for _, path := range []string{up + "/socket", up + "/pid", up + "/web", up + "/packets", program} {
		if _, missing := os.Lstat(path); missing != nil {
			t.Error(missing, err)
		}
	}
	for _, c := range []struct{ predecessor, pwd, successor string }{
		{"x", in, "x"},
		{"x", link, "./x"},
		{"x", link, "../in/x"},
		{link + "/x", link, in + "/x"},
		{in + "/x", link, link + "/../in/x"},
	} {
		for _, network := range []string{"unix", "unixgram"} {
			t.Run(strings.ReplaceAll(network+" "+c.predecessor+" "+c.successor, root, "ROOT"), func(t *testing.T) {
				a := start(t, Config{}, socketPath(t))
				_, _, want := bind(t, a, "web", network, c.predecessor)
				ready(t, a)
				t.Setenv("PWD", c.pwd)
				if _, _, got := bind(t, start(t, Config{}, a.path), "web", network, c.successor); got != want {
					t.Error("the successor has another socket")
				}
			})
		}
	}
}

// Addresses are bytes, and all of them count. The last process removes the files, even if it has not created them.
func TestAddressesAreBytes(t *testing.T) {
	long := strings.Repeat("d", 120)
	for _, c := range []struct{ dir, name string }{{"", "caf\xe9"}, {long, "café"}, {long, "caf\xe9"}, {"", "@\x00"}, {"", "@\x00b"}} {
		for _, network := range []string{"unix", "unixgram"} {
			t.Run(fmt.Sprintf("%s %.5s%q", network, c.dir, c.name), func(t *testing.T) {
				dir := filepath.Join(fdtest.ShortDir(t), c.dir)
				address := filepath.Join(dir, c.name)
				suffix, abstract := strings.CutPrefix(c.name, "@")
				if abstract {
					address = "@" + dir + suffix
				}
				_ = os.MkdirAll(dir, 0o700)
				p := start(t, Config{}, filepath.Join(dir, "control"))
				l, at, inode := bind(t, p, "web", network, address)
				ready(t, p)
				for range 2 {
					b := start(t, Config{}, p.path)
					if abstract {
						if _, _, other := bind(t, b, "other", network, "@"+dir); other == inode {
							t.Fatal("the name without a zero byte leads to the same socket")
						}
					}
					next, nextAt, got := bind(t, b, "web", network, address)
					if got != inode || abstract && nextAt.String() != at.String() {
						t.Errorf("the successor has another socket, at %q instead of %q", nextAt, at)
					}
					ready(t, b)
					isReplaced(t, p)
					_, _ = l.Close(), p.Close()
					p, l = b, next
				}
				_, _ = l.Close(), p.Close()
				for _, file := range must(os.ReadDir(dir)) {
					t.Errorf("the last process has left %q", file)
				}
			})
		}
	}
}
