package witness

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// The offset of a file is told while somebody reads the file.
func TestStateOfLockedFile(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &File{FileSpec: scenario.FileSpec{Kind: "file"}, Other: -1}
	var err error
	if f.Own, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if _, err := unix.Seek(f.Own, 3, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	peers, err := unix.Dup(f.Own) // the lock counts where there are two numbers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(peers) })
	server.KeepLocked(t, peers)
	// What waits for the lock does not answer, and nobody waits for that for ever.
	if offset, err := InTime(func() (int64, error) { return unix.Seek(f.Own, 0, unix.SEEK_CUR) }); !errors.Is(err, ErrLocked) {
		t.Errorf("lseek: got %d, %v", offset, err)
	}
	told := make(chan State, 1)
	go func() {
		if s, ok := StateOf(f); ok {
			told <- s
		}
		close(told)
	}()
	select {
	case s, ok := <-told:
		if !ok || s.Offset != 3 {
			t.Errorf("got %+v, %v", s, ok)
		}
	case <-time.After(time.Minute):
		t.Error("no answer")
	}
}

// A pipe that somebody keeps locked cannot be opened anew, and keeps nobody waiting.
func TestReopenLockedPipe(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	var two [2]int
	if err := unix.Pipe2(two[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(two[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	f := &File{FileSpec: scenario.FileSpec{Kind: "pipe-r"}, Own: -1, Other: two[1]}
	t.Cleanup(f.Close)
	t.Cleanup(func() { CloseNumber(&two[0]) })
	server.KeepLocked(t, two[0])
	if err := f.Reopen(&File{Own: -1, Other: -1}); !errors.Is(err, ErrLocked) || f.Other != two[1] {
		t.Errorf("got %v, and %d", err, f.Other)
	}
}
