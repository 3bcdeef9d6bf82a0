package programs

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/ringtest"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	reexec.Register("test server", testserver.Main)
	reexec.Register("lazy server", lazyServer)
	Main()
	reexec.Main()
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // the race detector would sleep in each child
	os.Exit(m.Run())
}

// limit is the time after which a test gives up.
const limit = time.Minute

// testServer returns the command of a test server, and its address.
func testServer(t *testing.T, mode, typ string) ([]string, string) {
	t.Helper()
	address := filepath.Join(fdtest.ShortDir(t), "socket")
	return reexec.CommandLine("test server", mode, typ, address), address
}

func start(t *testing.T, args []string, address string) *Server {
	t.Helper()
	s, err := Start(args, address, nil)
	fdtest.Must(t, err)
	t.Cleanup(s.Stop)
	for end := time.Now().Add(limit); !Listening(address); time.Sleep(time.Millisecond) {
		if s.Ended() != nil || time.Now().After(end) {
			t.Fatalf("nothing listens at %s; the server: %v, %s", address, s.Ended(), s.Output())
		}
	}
	return s
}

func marker(t *testing.T) *Marker {
	t.Helper()
	m, err := NewMarker()
	fdtest.Must(t, err)
	t.Cleanup(m.Close)
	return m
}

// The processes of a daemon are found after its first process has ended.
func TestServerFindsDaemon(t *testing.T) {
	args, address := testServer(t, "all", "stream")
	s := start(t, append([]string{"sh", "-c", `setsid "$@" & exit 0`, "sh"}, args...), address)
	for ended := error(nil); ended == nil; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		ended = s.first
		s.mu.Unlock()
	}
	pids, err := s.Processes()
	if len(pids) != 1 || pids[0] == s.pid || err != nil {
		t.Errorf("got the processes %v, %v; want only the daemon, which is not %d", pids, err, s.pid)
	}
	if ended := s.Ended(); ended != nil {
		t.Error(ended)
	}
	s.Stop()
	if err := unix.Kill(pids[0], 0); err != unix.ESRCH {
		t.Errorf("the daemon is still there: %v", err)
	}
}

// A daemon has not ended, although one of its workers has failed.
func TestServerOutlivesItsWorkers(t *testing.T) {
	s, err := Start([]string{"sh", "-c", "sleep 1000 & (while kill -0 $$; do sleep 0.01; done; exit 3) & exit 0"}, "", nil)
	fdtest.Must(t, err)
	defer s.Stop()
	reported := func() bool { // the end of the first process and of the worker
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.first != nil && s.ended != nil && !ExitedWith0(s.ended)
	}
	for !reported() {
		time.Sleep(time.Millisecond)
	}
	if ended := s.Ended(); ended != nil {
		t.Error(ended)
	}
}

// Stop does not wait forever for processes that scm cannot kill.
func TestStopIsBounded(t *testing.T) {
	_, stop := io.Pipe()
	s := &Server{supervisor: &exec.Cmd{}, stop: stop, gone: make(chan struct{}), limit: time.Millisecond}
	s.Stop()
}

type closer func() error

func (c closer) Close() error { return c() }

// The end of a server may be reported before what it has printed.
func TestOutputOfAServerThatHasEnded(t *testing.T) {
	s := &Server{supervisor: &exec.Cmd{}, gone: make(chan struct{}), limit: limit, first: errors.New("exit status 3")}
	s.stop = closer(func() error {
		defer close(s.gone)
		_, err := s.output.Write([]byte("no"))
		return err
	})
	if got := s.Output(); got != "no" {
		t.Errorf("got %q", got)
	}
}

// A signal need not wait until a server has closed all descriptors.
func TestWaitUntilClosedEndsWithItsContext(t *testing.T) {
	args, address := testServer(t, "correct", "stream")
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted)
	if held, err := start(t, args, address).WaitUntilClosed(ctx, []*Marker{marker(t)}, 10*limit, true, func() {}); err != interrupted {
		t.Errorf("got %v, %v", held, err)
	}
}

func TestServerReportsItsEnd(t *testing.T) {
	for _, c := range []struct {
		script, want string
		zero         bool
	}{
		{"exit 0", "exit status 0", true},
		{"kill -9 $$", "killed by SIGKILL", false},
		{"sleep 1000 & exit 3", "exit status 3", false},
	} {
		s, err := Start([]string{"sh", "-c", c.script}, "", nil)
		if err != nil {
			t.Fatalf("%q: %v", c.script, err)
		}
		for s.Ended() == nil {
			time.Sleep(time.Millisecond)
		}
		if ended := s.Ended(); ended.Error() != c.want || ExitedWith0(ended) != c.zero {
			t.Errorf("%s: got %v", c.script, ended)
		}
		s.Stop()
	}
}

func TestAttachFindsDescendants(t *testing.T) {
	args, address := testServer(t, "forks", "stream")
	s := start(t, args, address)
	attached, err := Attach(s.pid)
	fdtest.Must(t, err)
	defer attached.Stop()
	m := marker(t)
	c, _, err := Dial(address, unix.SOCK_STREAM, limit)
	fdtest.Must(t, err)
	defer unix.Close(c)
	if _, err := raw.Send(c, [][]byte{[]byte("x\n")}, []int{m.fd}, unix.MSG_NOSIGNAL); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Read(c, make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	held, err := attached.Holdings(m)
	if Count(held[m]) != 1 || err != nil {
		t.Fatalf("got %v, %v; want the file in one descriptor", held, err)
	}
	pids, _ := attached.Processes()
	if !slices.Contains(pids, held[m][0].PID) || held[m][0].PID == s.pid {
		t.Errorf("%v is not a child of %d", held[m], s.pid)
	}
	s.Stop()
	if attached.Ended() == nil {
		t.Error("not ended")
	}
}

// A server may have a user namespace of its own.
func TestPokeInAUserNamespace(t *testing.T) {
	if _, err := reexec.InUserNamespace(); err != nil {
		t.Skip(err)
	}
	args, address := testServer(t, "second", "stream")
	binary, err := os.Executable() // in the namespace, the link of this process in /proc cannot be read
	fdtest.Must(t, err)
	for i, arg := range args {
		if strings.HasPrefix(arg, "/proc/") {
			args[i] = binary
		}
	}
	got := found(poke(t, PokeOptions{Args: append([]string{"unshare", "-r"}, args...), Address: address, Settle: short}))
	if !slices.Equal(got, []string{"two leak", "253 leak"}) {
		t.Errorf("got %q", got)
	}
}

// The fixed file of an io_uring belongs to one marker.
func TestHoldingsOfARing(t *testing.T) {
	needRing(t)
	ring, err := ringtest.New(1)
	fdtest.Must(t, err)
	defer unix.Close(ring)
	fixed, other := marker(t), marker(t)
	put := int32(fixed.fd)
	fdtest.Must(t, ringtest.Put(ring, 0, &put))
	attached, err := Attach(os.Getpid())
	fdtest.Must(t, err)
	defer attached.Stop()
	held, err := attached.Holdings(fixed, other)
	fdtest.Must(t, err)
	if one, two := Count(held[fixed]), Count(held[other]); one != 3 || two != 2 { // with those of the marker
		t.Errorf("got %d and %d descriptors, want 3 and 2: %+v", one, two, held)
	}
}

// A ring that several processes have counts once.
func TestHoldingsOfAnInheritedRing(t *testing.T) {
	needRing(t)
	self := os.Getpid()
	if _, err := procfs.Kcmp(self, 0, self, 0); err != nil {
		t.Skip("kcmp:", err)
	}
	ring, err := ringtest.New(1)
	fdtest.Must(t, err)
	file := os.NewFile(uintptr(ring), "ring")
	defer file.Close()
	m := marker(t)
	put := int32(m.fd)
	child := exec.CommandContext(t.Context(), "sleep", "1000")
	child.ExtraFiles = []*os.File{file}
	fdtest.Must(t, errors.Join(ringtest.Put(ring, 0, &put), child.Start()))
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()
	attached, err := Attach(self)
	fdtest.Must(t, err)
	defer attached.Stop()
	held, err := attached.Holdings(m)
	fdtest.Must(t, err)
	if n := Count(held[m]); n != 3 { // with those of the marker
		t.Errorf("got %d descriptors, want 3: %+v", n, held)
	}
}

// If the kernel does not show the fixed files of an io_uring, the error says so.
func TestHoldingsOfABusyRing(t *testing.T) {
	release := fusetest.BusyRing(t)
	attached, err := Attach(os.Getpid())
	fdtest.Must(t, err)
	defer attached.Stop()
	_, busy := attached.Holdings()
	release()
	want := "cannot look at the fixed files of an io_uring of process "
	if !errors.Is(busy, unix.EBUSY) || !strings.HasPrefix(busy.Error(), want) {
		t.Errorf("got %v, want %s", busy, want)
	}
	if _, err := attached.Holdings(); err != nil {
		t.Error(err)
	}
}
