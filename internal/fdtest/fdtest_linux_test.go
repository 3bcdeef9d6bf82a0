package fdtest

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/procfs"
)

// pipe returns both ends, which the test closes.
func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	Must(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
	closeLater(t, p[0])
	closeLater(t, p[1])
	return p[0], p[1]
}

// closeLater closes fd after the test, if it then still holds its file.
func closeLater(t *testing.T, fd int) {
	t.Helper()
	var l Ledger
	l.Own(fd)
	t.Cleanup(l.Close)
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	d, err := unix.Dup(fd)
	Must(t, err)
	closeLater(t, d)
	return d
}

func TestLedger(t *testing.T) {
	r, w := pipe(t)
	var l Ledger
	l.Own(r, w)
	other, _ := pipe(t)
	if s := l.Strays(); s != nil {
		t.Errorf("strays %v, want none; %d is not a descriptor for an owned file", s, other)
	}

	d := dup(t, r)
	if s := l.Strays(); len(s) != 1 {
		t.Errorf("strays %v; want %d", s, d)
	}
	l.Own(d)
	if s := l.Strays(); s != nil {
		t.Errorf("strays %v, want none; all descriptors are owned", s)
	}

	if lost := l.Lost(); lost != nil {
		t.Errorf("lost %v, want none; all descriptors are open", lost)
	}
	Must(t, unix.Dup2(other, d))
	if lost := l.Lost(); len(lost) != 1 {
		t.Errorf("lost %v; want %d", lost, d)
	}

	l.Close()
	if IsOpen(r) || IsOpen(w) {
		t.Error("Close left a descriptor open")
	}
	if !IsOpen(d) {
		t.Errorf("Close closed %d, which refers to another file now", d)
	}
}

// If every owned descriptor of a file is closed, the Ledger recognizes the file by its ID.
func TestLedgerCloseNow(t *testing.T) {
	r, w := pipe(t)
	d := dup(t, r)
	var l Ledger
	l.Own(r, w)
	l.CloseNow(r)
	l.CloseNow(w)
	if s := l.Strays(); len(s) != 1 {
		t.Errorf("strays %v; want %d", s, d)
	}
	if lost := l.Lost(); lost != nil {
		t.Errorf("lost %v, want none; they were closed with CloseNow", lost)
	}
}

func TestSnapshot(t *testing.T) {
	r, w := pipe(t)
	s := Take()
	if fresh := s.NewSince(); fresh != nil {
		t.Errorf("new %v, want none; nothing was opened", fresh)
	}
	dup(t, r)
	if fresh := s.NewSince(); len(fresh) != 1 {
		t.Errorf("new %v, want only the duplicate", fresh)
	}
	other, _ := pipe(t)
	Must(t, unix.Dup2(other, w))
	if fresh := s.NewSince(); len(fresh) != 4 {
		t.Errorf("new %v, want the duplicate, both ends of a pipe, and a descriptor that refers to another file", fresh)
	}
}

// fstat fails for the fd directory in /proc of a process that has ended.
func TestFileThatCannotBeExamined(t *testing.T) {
	before := Take()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	Must(t, err)
	Must(t, cmd.Start())
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	Must(t, errors.Join(err, stdin.Close(), cmd.Wait()))
	closeLater(t, fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil {
		t.Skip("this kernel examines it")
	}
	if fresh := before.NewSince(); len(fresh) != 1 {
		t.Errorf("new %v, want %d", fresh, fd)
	}
	if left, err := before.Left(); len(left) != 1 || err != nil {
		t.Errorf("left %v, %v, want %d", left, err, fd)
	}
	files, err := procfs.Files(procfs.Self)
	if id, open := files[fd]; !open || !id.Anonymous() || err != nil {
		t.Errorf("Files: %v, %t, %v", id, open, err)
	}
	if _, err := Identify(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("Identify(-1): %v, want EBADF", err)
	}

	var l Ledger
	l.Own(fd)
	if lost := l.Lost(); lost != nil {
		t.Errorf("lost %v, want none", lost)
	}
	d := dup(t, fd)
	if same, err := procfs.Kcmp(procfs.Self, fd, procfs.Self, d); !same {
		t.Skip("kcmp(2):", err)
	}
	if s := l.Strays(); len(s) != 1 {
		t.Errorf("strays %v; want %d", s, d)
	}
}
