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

// The child of a torture run: it makes one call of the API between two marks,
// and then says what came of it.

const tortureChild = "torture"

// strace without -f follows the first thread alone. The call is made there, so
// that what the runtime does on others is neither counted nor failed.
func init() {
	if reexec.Name() == tortureChild {
		runtime.LockOSThread()
	}
}

// control is the number of the socket over which the partner lends the case's
// files, and is told what came of it.
const control = 3

// subject is what a call works on, and what it returned.
type subject struct {
	network  string
	folder   string        // for socket files; each case has its own
	sock     int           // one end of a pair, whose other end the partner has
	cargo    int           // to send
	file     *os.File      // of cargo
	socket   *net.UnixConn // of sock, for who takes one
	conn     *scm.Conn
	sockFile *os.File // of sock, too
	server   *scm.Listener
	stale    bool        // a socket file was there before the call
	failed   string      // the system call that was made to fail
	short    bool        // nothing more comes: a wait has to end by itself
	calls    int         // that were made before this one
	given    []int       // numbers of setUp's; -1 is one that a call was to close
	taken    []int       // numbers that the call was to close
	held     []io.Closer // what was returned
	numbers  []int
	wrong    []string
}

// tortureReport is what the child says.
type tortureReport struct {
	Err         string
	Errnos      []unix.Errno // that the error wraps
	Deadline    bool         // the error is os.ErrDeadlineExceeded
	Unsupported bool         // or errors.ErrUnsupported
	Before      []int        // numbers that were open at the first mark
	Returned    []int
	Left        []string // numbers that are open since, or hold another file
	Gone        []int    // numbers that were open before, and are not
	Taken       []int    // numbers that the call was to close
	Again       string   // the error of a second call
	Successes   int
	Wrong       []string
}

// holds takes over a descriptor that was returned.
func (t *subject) holds(fds ...int) {
	for _, fd := range fds {
		t.held = append(t.held, number(fd))
		t.numbers = append(t.numbers, fd)
	}
}

// number is a descriptor as an io.Closer.
type number int

func (n number) Close() error { return unix.Close(int(n)) }

// arrived takes over descriptors that the partner sent, and lets it know by a
// byte in each that they came.
func (t *subject) arrived(want int, fds ...int) {
	if len(fds) != want {
		t.wrong = append(t.wrong, fmt.Sprintf("%d descriptors came, not %d", len(fds), want))
	}
	t.holds(fds...)
}

// owns takes over a connection, listener or file that was returned.
func (t *subject) owns(c interface {
	io.Closer
	SyscallConn() (syscall.RawConn, error)
}) {
	raw, err := c.SyscallConn()
	Expect(err).NotTo(HaveOccurred())
	Expect(raw.Control(func(fd uintptr) { t.numbers = append(t.numbers, int(fd)) })).To(Succeed())
	t.held = append(t.held, c)
}

// path is a name for a socket file that no other call of the case has.
func (t *subject) path() string { return filepath.Join(t.folder, "s"+strconv.Itoa(t.calls)) }

// looks checks, after the call, what would take system calls in it.
func (t *subject) looks(err error) {
	for _, fd := range t.numbers {
		if !fdtest.CloseOnExec(fd) {
			t.wrong = append(t.wrong, fmt.Sprintf("%d is not close-on-exec", fd))
		}
	}
	// A file that could not be looked at after bind is not known to be the call's, and package net
	// leaves it where it fails between bind and its return.
	leaves := []string{"newfstatat", "listen", "epoll_ctl"}
	if _, missing := os.Lstat(t.path()); err != nil && !errors.Is(missing, fs.ErrNotExist) && !t.stale && !slices.Contains(leaves, t.failed) {
		t.wrong = append(t.wrong, "a call that failed left its socket file")
	}
}

// beginMark and endMark are system calls that nothing else makes.
func beginMark() { _, _ = unix.Getpgid(-1) }
func endMark()   { _, _ = unix.Getsid(-1) }

// expects reports what a successful call got wrong.
func (t *subject) expects(got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.wrong = append(t.wrong, fmt.Sprintf("got %v, want %v", got, want))
	}
}

// connects makes a Conn of the case's socket.
func (t *subject) connects() {
	conn, err := scm.NewConnFD(t.sock)
	Expect(err).NotTo(HaveOccurred())
	t.conn, t.sock = conn, NumberOf(conn)
	t.patience()
}

// patience is how long a call waits. Where EAGAIN was a lie no event follows it:
// the deadline then ends the wait, as the documentation says.
func (t *subject) patience() {
	wait := Hang
	if t.short {
		wait = 50 * time.Millisecond
	}
	if t.conn != nil {
		Expect(t.conn.SetDeadline(time.Now().Add(wait))).To(Succeed())
	}
	if t.server != nil {
		Expect(t.server.SetDeadline(time.Now().Add(wait))).To(Succeed())
	}
}

// warms has package net read what it reads once: how long a queue may be.
func warms() {
	l, err := net.Listen("unix", AbstractName())
	Expect(err).NotTo(HaveOccurred())
	Expect(l.Close()).To(Succeed())
}

// borrows receives the case's files from the partner.
func (t *subject) borrows() {
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2)}
	Expect(scm.Recv(control, &m, 0)).To(Succeed())
	Expect(m.NFD).To(Equal(2))
	t.sock, t.cargo = m.FDs[0], m.FDs[1]
	t.file = os.NewFile(uintptr(t.cargo), "cargo")
}

// The arguments are the operation, the network, the folder, the errno that is
// injected, or 0, and the system call that fails.
var _ = Child(tortureChild, func(args []string) {
	debug.SetGCPercent(-1) // a collected os.File would be closed, and its leak not seen
	time.AfterFunc(2*Hang, func() { os.Exit(3) })
	unix.CloseOnExec(control)
	errno, err := strconv.Atoi(args[3])
	Expect(err).NotTo(HaveOccurred())
	t := &subject{network: args[1], folder: args[2], failed: plainName(args[4]), short: unix.Errno(errno) == unix.EAGAIN}
	o := findOperation(args[0])
	t.borrows()
	warms()
	if o.setUp != nil {
		o.setUp(t)
	}

	var r tortureReport
	before := fdtest.Take()
	beginMark()
	err = o.call(t)
	endMark()
	after := fdtest.Take()
	t.looks(err)

	for fd := range before {
		r.Before = append(r.Before, fd)
	}
	for fd, id := range after {
		if old, ok := before[fd]; !ok || old != id {
			r.Left = append(r.Left, strconv.Itoa(fd)+" "+fdtest.Name(fd))
		}
	}
	for fd := range before {
		if _, ok := after[fd]; !ok {
			r.Gone = append(r.Gone, fd)
		}
	}
	slices.Sort(r.Before)
	r.Returned = t.numbers
	r.told(err)
	r.Taken = t.taken
	if err == nil {
		r.Successes++
	}
	// A close that strace did not let happen can have kept anything as it was.
	if !o.once && args[4] != "close" {
		t.calls++
		t.short = false
		t.patience()
		if err := o.call(t); err != nil {
			r.Again = err.Error()
		} else {
			r.Successes++
		}
	}

	// From here on nothing but a leak keeps what the partner sent or lent open.
	for i, c := range t.held {
		if o.comes.files > 0 && i < len(t.numbers) {
			_, _ = unix.Write(t.numbers[i], []byte{0})
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
	for _, fd := range t.given {
		_ = unix.Close(fd)
	}
	_ = t.file.Close()
	_ = t.sockFile.Close() // nil is an error
	if t.socket != nil {
		_ = t.socket.Close()
	}
	r.Wrong = t.wrong
	Expect(json.NewEncoder(number(control)).Encode(r)).To(Succeed())
	_, _ = unix.Read(control, make([]byte, 1)) // the partner looks, and then hangs up
})

func (n number) Write(p []byte) (int, error) { return unix.Write(int(n), p) }

// told fills in what is known of the error.
func (r *tortureReport) told(err error) {
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
