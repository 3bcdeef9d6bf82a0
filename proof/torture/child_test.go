//go:build linux

package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
)

// The child process of a run calls one function of the API between two marks in the
// strace record, and then sends a report to the partner.

const tortureChild = "torture"

// Without -f, strace follows only the first thread. The call is made on it, so that strace
// neither counts nor fails the runtime's calls on other threads.
func init() {
	if reexec.Name() == tortureChild {
		runtime.LockOSThread()
	}
}

// control is the descriptor of the socket over which the partner sends the run's files,
// and on which the child sends its report.
const control = 3

// fixture holds the arguments of a call and what it returned.
type fixture struct {
	network   string
	folder    string        // for socket files; each run has its own
	sock      int           // one end of a socket pair; the partner has the other
	cargo     int           // the descriptor to send
	file      *os.File      // wraps cargo
	socket    *net.UnixConn // a duplicate of sock, for functions that take a UnixConn
	conn      *scm.Conn
	sockFile  *os.File // a duplicate of sock, for functions that take a File
	server    *scm.Listener
	stale     bool        // a socket file existed before the call
	short     bool        // the injected error is EAGAIN, so no event ends a wait but a short deadline
	calls     int         // number of earlier calls
	setUpFDs  []int       // descriptors that setUp opened; -1 replaces one that a call has closed
	mustClose []int       // descriptors that the call must close
	closers   []io.Closer // closes what the call returned
	returned  []int
	wrong     []string
}

// tortureReport is the child's report.
type tortureReport struct {
	Err         string
	Errnos      []unix.Errno // wrapped by the error
	Deadline    bool         // the error wraps os.ErrDeadlineExceeded
	Unsupported bool         // the error wraps errors.ErrUnsupported
	Before      []int        // descriptors open at the first mark
	Returned    []int
	Opened      []string // descriptors opened between the marks, or reused for another file
	Closed      []int    // descriptors closed between the marks
	MustClose   []int    // descriptors that the call must close
	SecondErr   string   // the error of a second call
	Successes   int
	Wrong       []string
}

// returnedFD notes descriptors that the call returned, and closes them at the end.
func (t *fixture) returnedFD(fds ...int) {
	for _, fd := range fds {
		t.closers = append(t.closers, fdFile(fd))
		t.returned = append(t.returned, fd)
	}
}

// fdFile is a descriptor that implements io.Writer and io.Closer.
type fdFile int

func (fd fdFile) Close() error { return unix.Close(int(fd)) }

// receivedFDs notes descriptors that the call received, and checks their count.
func (t *fixture) receivedFDs(want int, fds ...int) {
	if len(fds) != want {
		t.wrong = append(t.wrong, fmt.Sprintf("received %d descriptors, want %d", len(fds), want))
	}
	t.returnedFD(fds...)
}

// A file is a connection, a listener or a file.
type file interface {
	io.Closer
	syscall.Conn
}

// returnedFile notes a connection, listener or file that the call returned, and closes it at the end.
func (t *fixture) returnedFile(c file) {
	raw := OK(c.SyscallConn())
	Expect(raw.Control(func(fd uintptr) { t.returned = append(t.returned, int(fd)) })).To(Succeed())
	t.closers = append(t.closers, c)
}

// returns notes a file that the call returned without an error, and returns the error.
func (t *fixture) returns(c file, err error) error {
	if err == nil {
		t.returnedFile(c)
	}
	return err
}

// returnsFD does the same for a descriptor.
func (t *fixture) returnsFD(fd int, err error) error {
	if err == nil {
		t.returnedFD(fd)
	}
	return err
}

// path returns a name for a socket file that no other call of the run uses.
func (t *fixture) path() string { return filepath.Join(t.folder, "s"+strconv.Itoa(t.calls)) }

// checkAfterCall makes the checks that need system calls, and therefore must not run between the marks.
func (t *fixture) checkAfterCall(err error) {
	for _, fd := range t.returned {
		if !fdtest.CloseOnExec(fd) {
			t.wrong = append(t.wrong, fmt.Sprintf("%d is not close-on-exec", fd))
		}
	}
	if _, missing := os.Lstat(t.path()); err != nil && !errors.Is(missing, fs.ErrNotExist) && !t.stale {
		t.wrong = append(t.wrong, "the failed call left its socket file behind")
	}
}

// beginMark and endMark make system calls that nothing else here makes.
func beginMark() { _, _ = unix.Getpgid(-1) }
func endMark()   { _, _ = unix.Getsid(-1) }

// expectEqual reports a wrong result of the call.
func (t *fixture) expectEqual(got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.wrong = append(t.wrong, fmt.Sprintf("got %v, want %v", got, want))
	}
}

// makeConn turns the run's socket into a Conn.
func (t *fixture) makeConn() {
	conn := OK(scm.NewConnFD(t.sock))
	t.conn, t.sock = conn, FDOf(conn)
	t.setDeadline()
}

// setDeadline limits how long a call waits. No event follows an injected EAGAIN, so
// only the deadline ends the wait.
func (t *fixture) setDeadline() {
	wait := Hang
	if t.short {
		wait = 50 * time.Millisecond
	}
	onAnotherThread(func() {
		if t.conn != nil {
			Expect(t.conn.SetDeadline(time.Now().Add(wait))).To(Succeed())
		}
		if t.server != nil {
			Expect(t.server.SetDeadline(time.Now().Add(wait))).To(Succeed())
		}
	})
}

// onAnotherThread calls f, which sets a timer. The runtime then wakes its poller with a write(2), which strace must not
// take for a write of the call.
func onAnotherThread(f func()) {
	done := make(chan bool)
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// warmUpNet makes package net read the maximum listen backlog, which it does only once.
func warmUpNet() {
	l := OK(net.Listen("unix", AbstractName()))
	Expect(l.Close()).To(Succeed())
}

// receiveFiles receives the run's files from the partner.
func (t *fixture) receiveFiles() {
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2)}
	Expect(scm.Recv(control, &m, 0)).To(Succeed())
	Expect(m.NFD).To(Equal(2))
	t.sock, t.cargo = m.FDs[0], m.FDs[1]
	t.file = os.NewFile(uintptr(t.cargo), "cargo")
}

// The arguments are the operation, the network, the folder, the injected errno (or 0),
// and the system call that fails.
var _ = Child(tortureChild, func(args []string) {
	debug.SetGCPercent(-1) // the garbage collector would close a leaked os.File
	onAnotherThread(func() { time.AfterFunc(2*Hang, func() { os.Exit(3) }) })
	unix.CloseOnExec(control)
	errno := OK(strconv.Atoi(args[3]))
	t := &fixture{network: args[1], folder: args[2], short: unix.Errno(errno) == unix.EAGAIN}
	o := findOperation(args[0])
	t.receiveFiles()
	warmUpNet()
	if o.setUp != nil {
		o.setUp(t)
	}

	var r tortureReport
	before := fdtest.Take()
	beginMark()
	err := o.call(t)
	endMark()
	after := fdtest.Take()
	t.checkAfterCall(err)

	for fd := range before {
		r.Before = append(r.Before, fd)
	}
	for fd, id := range after {
		if old, ok := before[fd]; !ok || old != id {
			r.Opened = append(r.Opened, strconv.Itoa(fd)+" "+fdtest.Name(fd))
		}
	}
	for fd := range before {
		if _, ok := after[fd]; !ok {
			r.Closed = append(r.Closed, fd)
		}
	}
	slices.Sort(r.Before)
	r.Returned = t.returned
	r.setError(err)
	r.MustClose = t.mustClose
	if err == nil {
		r.Successes++
	}
	// If strace kept close from running, a second call may fail, because anything can still be open.
	if !o.once && args[4] != "close" {
		t.calls++
		t.short = false
		t.setDeadline()
		if err := o.call(t); err != nil {
			r.SecondErr = err.Error()
		} else {
			r.Successes++
		}
	}

	// Close all files of the partner. Afterwards only a leak can keep one open. The byte
	// written to each received file shows the partner that the file arrived.
	for i, c := range t.closers {
		if o.receives.files > 0 && i < len(t.returned) {
			_, _ = unix.Write(t.returned[i], []byte{0})
		}
		_ = c.Close()
	}
	if t.conn != nil {
		_ = t.conn.Close()
	} else {
		_ = unix.Close(t.sock)
	}
	if t.server != nil {
		_ = t.server.Close()
	}
	for _, fd := range t.setUpFDs {
		_ = unix.Close(fd)
	}
	_ = t.file.Close()
	_ = t.sockFile.Close() // it may be nil
	if t.socket != nil {
		_ = t.socket.Close()
	}
	r.Wrong = t.wrong
	Expect(json.NewEncoder(fdFile(control)).Encode(r)).To(Succeed())
	_, _ = unix.Read(control, make([]byte, 1)) // wait until the partner has looked for leaks
})

func (fd fdFile) Write(p []byte) (int, error) { return unix.Write(int(fd), p) }

// setError fills in the fields that describe the error.
func (r *tortureReport) setError(err error) {
	if err == nil {
		return
	}
	r.Err = err.Error()
	r.Deadline = errors.Is(err, os.ErrDeadlineExceeded)
	r.Unsupported = errors.Is(err, errors.ErrUnsupported)
	for errno := unix.Errno(1); errno < 134; errno++ {
		if errors.Is(err, errno) {
			r.Errnos = append(r.Errnos, errno)
		}
	}
}
