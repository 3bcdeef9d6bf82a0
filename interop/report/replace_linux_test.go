package report

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// ReplaceFile rewrites the file to which a symbolic link refers, or creates it.
func TestReplaceLinkedFile(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "folder", "target.txt"), filepath.Join(dir, "link.txt")
	fdtest.Must(t, os.Mkdir(filepath.Dir(target), 0o777))
	fdtest.Must(t, os.Symlink("folder/target.txt", link))
	for _, text := range []string{"created", "rewritten"} {
		if err := ReplaceFile(link, []byte(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		info, err := os.Lstat(link)
		if err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%s: the link is %v, %v", text, info, err)
		}
		if got, err := os.ReadFile(target); err != nil || string(got) != text {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
}

// ReplaceFile writes in place if the file has another name or another owner.
func TestReplaceInPlace(t *testing.T) {
	for name, prepare := range map[string]func(file string) error{
		"another name":  func(file string) error { return os.Link(file, file+".link") },
		"another owner": func(file string) error { return os.Chown(file, os.Getuid()+1, os.Getgid()+1) },
	} {
		file := filepath.Join(t.TempDir(), "file.txt")
		fdtest.Must(t, os.WriteFile(file, []byte("a long text"), 0o640))
		if err := prepare(file); err != nil {
			t.Logf("%s: not tested: %v", name, err) // only root can change the owner
			continue
		}
		before, err := os.Stat(file)
		fdtest.Must(t, err)
		if err := ReplaceFile(file, []byte("new")); err != nil {
			t.Fatalf("a file with %s: %v", name, err)
		}
		after, err := os.Stat(file)
		if err != nil || !os.SameFile(before, after) || after.Mode() != 0o640 || after.Size() != 3 {
			t.Errorf("%s: the file is %v, was %v, %v", name, after, before, err)
		}
		if left, err := filepath.Glob(file + "*.new"); len(left) > 0 || err != nil {
			t.Errorf("%s: left: %v, %v", name, left, err)
		}
	}
}

// ReplaceFile writes to a FIFO, and does not replace it by a file.
func TestReplaceFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo.txt")
	fdtest.Must(t, syscall.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	fdtest.Must(t, err)
	defer reader.Close()
	fdtest.Must(t, ReplaceFile(fifo, []byte("text")))
	b := make([]byte, 8)
	if n, err := reader.Read(b); err != nil || string(b[:n]) != "text" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the FIFO is %v, %v", info, err)
	}
}

// ReplaceFile does not replace a read-only file, and its errors name the file of the user.
func TestReplaceReadOnly(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root can write to every file")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file.txt")
	fdtest.Must(t, os.WriteFile(file, []byte("old"), 0o444))
	if err := ReplaceFile(file, []byte("new")); err == nil || !strings.HasSuffix(err.Error(), " "+file+": permission denied") {
		t.Errorf("a read-only file: %v", err)
	}
	fdtest.Must(t, os.Chmod(file, 0o644))
	fdtest.Must(t, os.Chmod(dir, 0o555))
	defer os.Chmod(dir, 0o777)
	if err := ReplaceFile(file, []byte("new")); err == nil || !strings.HasSuffix(err.Error(), " "+file+": permission denied") {
		t.Errorf("in a read-only directory: %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "old" {
		t.Errorf("got %q, %v", got, err)
	}
}
