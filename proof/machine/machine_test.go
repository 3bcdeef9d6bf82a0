//go:build linux

package machine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/machine/console"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// A folder comes before its contents, every header and file begins at a multiple of four, and the archive ends with
// a trailer. See Documentation/driver-api/early-userspace/buffer-format.rst in Linux.
func TestCpio(t *testing.T) {
	tree := Tree{}
	tree.Write("usr/bin/a", 0o755, []byte("12345"))
	tree.Write("bb", 0o600, []byte("1"))
	tree.Symlink("usr/lib/c", "../bin/a")
	tree.add("dev/console", node{mode: device | 0o600, major: 5, minor: 1})
	const zero = "00000000"
	entry := func(ino, mode, size, major, minor, nameSize, name string) string {
		return "070701" + ino + mode + zero + zero + "00000001" + zero + size + zero + zero + major + minor + nameSize + zero + name
	}
	want := entry("00000001", "00008180", "00000001", zero, zero, "00000003", "bb\x00\x00\x00\x00") + "1\x00\x00\x00" +
		entry("00000002", "000041ed", zero, zero, zero, "00000004", "dev\x00\x00\x00") +
		entry("00000003", "00002180", zero, "00000005", "00000001", "0000000c", "dev/console\x00\x00\x00") +
		entry("00000004", "000041ed", zero, zero, zero, "00000004", "usr\x00\x00\x00") +
		entry("00000005", "000041ed", zero, zero, zero, "00000008", "usr/bin\x00\x00\x00") +
		entry("00000006", "000081ed", "00000005", zero, zero, "0000000a", "usr/bin/a\x00") + "12345\x00\x00\x00" +
		entry("00000007", "000041ed", zero, zero, zero, "00000008", "usr/lib\x00\x00\x00") +
		entry("00000008", "0000a1ff", "00000008", zero, zero, "0000000a", "usr/lib/c\x00") + "../bin/a" +
		entry(zero, zero, zero, zero, zero, "0000000b", "TRAILER!!!\x00\x00\x00\x00")
	if text := string(tree.cpio()); text != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
}

// debian builds a package with these files.
func debian(t *testing.T, headers ...tar.Header) string {
	t.Helper()
	dir := t.TempDir()
	control := "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n"
	err := errors.Join(os.Mkdir(filepath.Join(dir, "DEBIAN"), 0o755), os.WriteFile(filepath.Join(dir, "DEBIAN/control"), []byte(control), 0o644))
	for _, h := range headers {
		name := filepath.Join(dir, h.Name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755))
		switch h.Typeflag {
		case tar.TypeSymlink:
			err = errors.Join(err, os.Symlink(h.Linkname, name))
		case tar.TypeLink:
			err = errors.Join(err, os.Link(filepath.Join(dir, h.Linkname), name))
		default:
			err = errors.Join(err, os.WriteFile(name, []byte(h.Name), os.FileMode(h.Mode)))
		}
	}
	must.OK(err)
	file := filepath.Join(t.TempDir(), "p.deb")
	out, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", dir, file).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		fdtest.Missing(t, "dpkg-deb", err.Error())
	}
	if err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	return file
}

func TestUnpack(t *testing.T) {
	tree := Tree{}
	tree.Unpack(debian(t,
		tar.Header{Name: "usr/bin/a", Mode: 0o755},
		tar.Header{Name: "usr/bin/b", Typeflag: tar.TypeLink, Linkname: "usr/bin/a"},
		tar.Header{Name: "usr/bin/c", Typeflag: tar.TypeSymlink, Linkname: "a"}))
	for name, want := range map[string]node{
		"usr":       {mode: directory | 0o755},
		"usr/bin/a": {mode: regular | 0o755, data: []byte("usr/bin/a")},
		"usr/bin/b": {mode: regular | 0o755, data: []byte("usr/bin/a")},
		"usr/bin/c": {mode: symlink | 0o777, data: []byte("a")},
	} {
		if got := tree[name]; got.mode != want.mode || !bytes.Equal(got.data, want.data) {
			t.Errorf("%s: got %o %q, want %o %q", name, got.mode, got.data, want.mode, want.data)
		}
	}
	broken := filepath.Join(t.TempDir(), "broken.deb")
	must.OK(os.WriteFile(broken, []byte("no package"), 0o666))
	if err := must.Try(func() { tree.Unpack(broken) }); err == nil || errors.Is(err, target.ErrMissing) {
		t.Error(err)
	}
}

// In some packages the kernel has another path.
func TestImage(t *testing.T) {
	for _, name := range []string{"boot/vmlinuz-6.1.0", "usr/lib/modules/7.2.13/vmlinuz", "boot/vmlinux-7.2"} {
		k := cached(t, debian(t, tar.Header{Name: "boot/config-6.1.0", Mode: 0o644}, tar.Header{Name: name, Mode: 0o644}))
		if text := image(k); string(text) != name {
			t.Errorf("%s: got %q", name, text)
		}
	}
	k := cached(t, debian(t, tar.Header{Name: "usr/share/doc/vmlinuz/copyright", Mode: 0o644}))
	if err := must.Try(func() { image(k) }); err == nil || !strings.Contains(err.Error(), "contains no kernel") {
		t.Error(err)
	}
}

// cached puts a package into the cache.
func cached(t *testing.T, file string) target.Kernel {
	t.Helper()
	useTemporary(t, "")
	text := must.Get(os.ReadFile(file))
	replace(filepath.Join(cache, filepath.Base(pool)), text)
	return target.Kernel{Path: pool, SHA256: sumOf(text)}
}

func TestNoDpkg(t *testing.T) {
	file := debian(t, tar.Header{Name: "a", Mode: 0o644})
	t.Setenv("PATH", t.TempDir())
	if err := must.Try(func() { Tree{}.Unpack(file) }); !errors.Is(err, target.ErrMissing) || !strings.Contains(err.Error(), "apt-get install dpkg") {
		t.Error(err)
	}
}

// If the emulator fails, the error contains what it printed, and the results so far are returned.
func TestEmulatorFails(t *testing.T) {
	c := &console.Commands{Mark: "@@", List: [][]string{{"echo", "hello"}, {"true"}}}
	var text strings.Builder
	first := &console.Commands{Mark: c.Mark, List: c.List[:1]}
	first.Run(t.TempDir(), &text)
	m := &Machine{Log: io.Discard}
	emulator := exec.Command("sh", "-c", `printf %s "$1"; echo no such machine >&2; exit 1`, "sh", text.String())
	results, err := m.start(emulator, c)
	if err == nil || len(results) != 1 {
		t.Fatalf("got %v, %v; want the result of the first command, and an error", results, err)
	}
	for _, want := range []string{"stopped after 1 of 2 commands", "exit status 1", "no such machine"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if m.CPU == 0 {
		t.Error("no CPU time")
	}
}

// A machine whose console cannot be logged is stopped, although it would wait until its output is read.
func TestLogFails(t *testing.T) {
	full := must.Get(os.OpenFile("/dev/full", os.O_WRONLY, 0))
	defer full.Close()
	m := &Machine{Log: full}
	results, err := m.start(exec.Command("yes"), &console.Commands{Mark: "@@", List: [][]string{{"true"}}})
	if !errors.Is(err, unix.ENOSPC) || len(results) > 0 {
		t.Errorf("got %v, %v; want no result, and ENOSPC", results, err)
	}
}

func TestLimit(t *testing.T) {
	m := &Machine{Log: io.Discard, Limit: time.Second}
	_, err := m.start(exec.Command("sh", "-c", "while :; do :; done"), &console.Commands{Mark: "@@", List: [][]string{{"true"}}})
	want := "the limit of the emulator is 1s of CPU time"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A writer calls a function when something is written.
type writer func()

func (w writer) Write(text []byte) (int, error) {
	w()
	return len(text), nil
}

// Stop leaves neither an emulator nor a file.
func TestStop(t *testing.T) {
	k := cached(t, debian(t, tar.Header{Name: "boot/vmlinuz-1", Mode: 0o644}))
	k.Arch = "amd64"
	bin, tmp, pid := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "pid")
	emulator := "#!/bin/sh\necho $$ >" + pid + "\necho booted\nexec sleep infinity\n"
	must.OK(os.WriteFile(filepath.Join(bin, "qemu-system-x86_64"), []byte(emulator), 0o777))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", tmp)
	t.Chdir("../..")
	t.Cleanup(func() {
		stopped, stop = context.WithCancel(context.Background())
		running.Unlock()
	})
	done := make(chan bool)
	m := &Machine{Kernel: k, Tree: Tree{}, Commands: [][]string{{"true"}}, Log: writer(func() {
		go func() {
			Stop()
			close(done)
		}()
	})}
	_, err := m.Run()
	<-done
	if !errors.Is(err, context.Canceled) && (err == nil || !strings.Contains(err.Error(), "signal: killed")) {
		t.Errorf("got %v, want that it was stopped", err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left after Stop: %v, %v; want nothing", left, err)
	}
	text := must.Get(os.ReadFile(pid))
	if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || unix.Kill(n, 0) != unix.ESRCH {
		t.Errorf("the emulator %d is running, %v", n, err)
	}
}
