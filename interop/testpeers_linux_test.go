package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// testPeerChild runs a peer in a child process of the test binary. The argument is its name in testPeers.
const testPeerChild = "test-peer"

// testPeers are peers that the test binary can run as. pool lists the descriptors with which the peer was started.
var testPeers = map[string]func(sock int, pool []int) peer.Socket{
	"right": func(sock int, _ []int) peer.Socket { return correct{sock: sock} },
	"short": func(sock int, _ []int) peer.Socket { return correct{sock: sock, half: true} },
	// These change a file that they must not change.
	"twists": func(sock int, _ []int) peer.Socket { return twister{correct{sock: sock}, false} },
	"seeks":  func(sock int, _ []int) peer.Socket { return twister{correct{sock: sock}, true} },
	// This one also sends the files that it sends to a socket of a later case.
	"parks what it sends": func(sock int, pool []int) peer.Socket {
		return parker{correct{sock: sock}, laterSocket(pool, sock)}
	},
	// The calls of these fail if the payload begins with 0xff.
	"closes before it answers": func(sock int, _ []int) peer.Socket {
		return failer{correct{sock: sock}, func(fds []int) {
			closeFDs(append(fds, sock)...)
			for began := time.Now(); time.Since(began) < 250*time.Millisecond; {
				// The runner must see that it is awake.
			}
		}}
	},
	"never closes": func(sock int, _ []int) peer.Socket {
		return failer{correct{sock: sock}, func(fds []int) { closeFDs(fds...) }}
	},
	"parks what it received and closes later": func(sock int, pool []int) peer.Socket {
		return failer{correct{sock: sock}, func(fds []int) {
			_, _ = raw.Send(laterSocket(pool, sock), [][]byte{{0}}, fds, unix.MSG_DONTWAIT)
			closeFDs(fds...)
			time.AfterFunc(100*time.Millisecond, func() { closeFDs(sock) })
		}}
	},
}

// declared is a prefix of the name of a test peer. The answer to hello then has closes=yes.
const declared = "closes=yes: "

func init() {
	reexec.Register(testPeerChild, func(args []string) { runTestPeer(args[0]) })
}

// runTestPeer runs the test peer with this name.
func runTestPeer(what string) {
	if what == "hidden" { // only a privileged process can read its /proc/PID/fd
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		what = "right"
	}
	var pool []int
	for n := 3; ; n++ {
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			break
		}
		pool = append(pool, n)
	}
	what, closes := strings.CutPrefix(what, declared)
	peer.Main(peer.Library{Name: "x", Version: "1", Can: "stream,dgram,seqpacket,multi,flags", Closes: closes, Open: func(sock int) (peer.Socket, error) {
		return testPeers[what](sock, pool), nil
	}})
}

// testPeer returns one of testPeers. It is called "x" unless a name is given.
func testPeer(t *testing.T, what string, name ...string) *scenario.Peer {
	t.Helper()
	p := scenario.Program(append(name, "x")[0], reexec.CommandLine(testPeerChild, what)...)
	fdtest.Must(t, process.Probe(p, process.DefaultTimeout))
	return p
}

// correct does what the runner asks, except that with half it sends half of the payload, and reports that count.
type correct struct {
	sock int
	half bool
}

func (h correct) Send(m peer.Message) (int, error) {
	if h.half {
		m.Buffers[0] = m.Buffers[0][:len(m.Buffers[0])/2]
	}
	return raw.Send(h.sock, m.Buffers, m.FDs, m.Flags)
}

func (h correct) Recv(r peer.Room) (got peer.Received, err error) {
	n, fds, _, err := raw.Recv(h.sock, r.Buffers, r.FDs, r.Flags)
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds}, err
}

// failer fails if the payload begins with 0xff. It passes the descriptors that it received in the
// same call to fail.
type failer struct {
	correct
	fail func(fds []int)
}

func (h failer) Send(m peer.Message) (int, error) {
	if m.Buffers[0][0] == 0xff {
		h.fail(nil)
		return 0, unix.EIO
	}
	return h.correct.Send(m)
}

func (h failer) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.correct.Recv(r)
	if err == nil && got.N > 0 && got.Payload[0] == 0xff {
		h.fail(got.FDs)
		return peer.Received{}, unix.EIO
	}
	return got, err
}

func closeFDs(fds ...int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// laterSocket returns the socket of a later case, or -1.
func laterSocket(pool []int, sock int) int {
	for _, n := range pool {
		var st unix.Stat_t
		if n > sock && unix.Fstat(n, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			return n
		}
	}
	return -1
}

// parker also sends the descriptors to another socket.
type parker struct {
	correct
	other int
}

func (h parker) Send(m peer.Message) (int, error) {
	_, _ = raw.Send(h.other, [][]byte{{0}}, m.FDs, unix.MSG_DONTWAIT)
	return h.correct.Send(m)
}

// twister makes the files that it sends non-blocking, or changes their offset.
type twister struct {
	correct
	seeks bool
}

func (h twister) Send(m peer.Message) (int, error) {
	for _, fd := range m.FDs {
		if h.seeks {
			_, _ = unix.Seek(fd, 9, unix.SEEK_SET)
		} else {
			_ = unix.SetNonblock(fd, true)
		}
	}
	return h.correct.Send(m)
}

// deadline is the time limit of tests in which a peer does not answer.
const deadline = time.Second
