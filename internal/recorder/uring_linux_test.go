package recorder

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// needsUring skips where no process may have an io_uring.
func needsUring(t *testing.T) {
	t.Helper()
	var params [120]byte
	fd, _, errno := unix.Syscall(425, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		t.Skip("io_uring_setup: " + errno.Error())
	}
	_ = unix.Close(int(fd))
}

// A process that sets up an io_uring is told of once; one that gets none is not.
func TestUring(t *testing.T) {
	needsUring(t)
	for what, want := range map[string]int{"works": 1, "fails": 0} {
		ways(t, func(t *testing.T, o Options) {
			var pids []int
			o.Escapes = func(pid int, _ string) { pids = append(pids, pid) }
			calls, _ := recorded(t, childCommand("uring", what), o)
			if len(calls) != 2 || len(pids) != want || want > 0 && pids[0] != calls[0].Process.PID {
				t.Errorf("%s: told of %v; %v", what, pids, calls)
			}
		})
	}
}

// One that uses a ring that another has set up is told of, once.
func TestInheritedUring(t *testing.T) {
	needsUring(t)
	var params [120]byte
	fd, _, errno := unix.Syscall(425, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	ring := os.NewFile(fd, "ring")
	defer func() { _ = ring.Close() }()
	// Yama, where it is, lets a child take descriptors of its parent only with this.
	_ = unix.Prctl(unix.PR_SET_PTRACER, ^uintptr(0), 0, 0, 0)
	for _, c := range []struct {
		args []string
		ring bool // as descriptor 3
		want int
	}{
		{[]string{"exec"}, true, 1},
		{[]string{"nothing"}, true, 1},
		{[]string{"taken", strconv.Itoa(os.Getpid()), strconv.Itoa(int(fd))}, false, 1},
		{[]string{"taken", strconv.Itoa(os.Getpid()), strconv.Itoa(int(fd)), "waits"}, false, 1},
		{[]string{"none"}, false, 0},
	} {
		ways(t, func(t *testing.T, o Options) {
			var told []string
			o.Escapes = func(_ int, what string) { told = append(told, what) }
			cmd := childCommand("inherits", c.args...)
			if c.ring {
				cmd.ExtraFiles = []*os.File{ring}
			}
			calls, _ := recorded(t, cmd, o)
			if len(calls) != 2 || len(told) != c.want || c.want > 0 && told[0] != Uring {
				t.Errorf("%s: told %d times: %q; %d calls", c.args[0], len(told), told, len(calls))
			}
		})
	}
}

// What is told once is kept once.
func TestEscapesAreKeptOnce(t *testing.T) {
	tr := newTracer(Options{})
	p := tr.root(1)
	for range 3 {
		tr.tellEscape(p, Uring)
	}
	if len(p.escapes) != 1 {
		t.Errorf("kept %q", p.escapes)
	}
}

// One that has a ring already when it is attached to is told of, too.
func TestAttachUring(t *testing.T) {
	needsPtrace(t)
	needsUring(t)
	cmd := childCommand("uring", "waits")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pids []int
	if _, err := Attach(ctx, cmd.Process.Pid, Options{Escapes: func(pid int, _ string) { pids = append(pids, pid); cancel() }}); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("told of %v, want %d", pids, cmd.Process.Pid)
	}
}

// A process that does what can make calls miss in the record is told of, once. Seccomp
// does nothing to a record that was made without a filter.
func TestEscapes(t *testing.T) {
	for what, want := range map[string]string{
		"prctl": OwnFilter, "seccomp": OwnFilter, "no filter": "", "strict probe": "", "clone": UntracedChild, "clone3": UntracedChild, "clone3 as usual": "",
		"clone3 secret": UntracedChild, "clone3 secret as usual": "",
	} {
		if fd, err := memfdSecret(); strings.Contains(what, "secret") && err != nil {
			continue
		} else if err == nil {
			_ = unix.Close(fd)
		}
		ways(t, func(t *testing.T, o Options) {
			if o.NoFilter && want == OwnFilter {
				want = ""
			}
			var told []string
			o.Escapes = func(_ int, what string) { told = append(told, what) }
			calls, _ := recorded(t, childCommand("escape", what), o)
			if len(calls) != 2 || strings.Join(told, "\n") != want {
				t.Errorf("%s: told %q, want %q; %v", what, told, want, calls)
			}
		})
	}
}
