package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// testPeerChild runs a peer in a child process of the test binary. The first argument is its name in testPeers. The
// second is a file that the peer creates when it first opens a socket.
const testPeerChild = "test-peer"

// testPeers are peers that the test binary can run as. pool lists the descriptors with which the peer was started.
// first is true if no earlier process of the same peer has opened a socket.
var testPeers = map[string]func(sock int, pool []int, first bool) peer.Socket{
	"right": func(sock int, _ []int, _ bool) peer.Socket { return honest{sock: sock} },
	"fails": func(sock int, _ []int, _ bool) peer.Socket { return honest{sock: sock, err: unix.EIO} },
	"short": func(sock int, _ []int, _ bool) peer.Socket { return honest{sock: sock, half: true} },
	"peeks": func(sock int, _ []int, _ bool) peer.Socket { return honest{sock: sock, peeks: true} },
	"sends more": func(sock int, _ []int, _ bool) peer.Socket {
		return honest{sock: sock, more: peer.Message{FDs: []int{0}}}
	},
	"sends a byte": func(sock int, _ []int, _ bool) peer.Socket {
		return honest{sock: sock, more: peer.Message{Buffers: [][]byte{{'!'}}}}
	},
	"doubles":  func(sock int, _ []int, _ bool) peer.Socket { return &doubler{honest: honest{sock: sock}} },
	"generous": func(sock int, _ []int, _ bool) peer.Socket { return generous{honest{sock: sock}} },
	"thrifty":  func(sock int, _ []int, _ bool) peer.Socket { return thrifty{honest{sock: sock}} },
	"counting": func(sock int, _ []int, _ bool) peer.Socket { return counting{honest{sock: sock}} },
	"recvmmsg": func(sock int, _ []int, _ bool) peer.Socket { return errorFirst{honest{sock: sock}} },
	"reset":    func(sock int, _ []int, _ bool) peer.Socket { return honest{sock: sock, err: unix.ECONNRESET} },
	"helper":   func(sock int, _ []int, _ bool) peer.Socket { return helped{honest{sock: sock}} },
	"mute":     func(int, []int, bool) peer.Socket { return mute{} },
	"refuses":  func(int, []int, bool) peer.Socket { return mute{peer.ErrUnsupported} },
	"moody": func(_ int, _ []int, first bool) peer.Socket {
		if first {
			return mute{} // which receives nothing
		}
		return mute{unix.EIO}
	},
	// These send a wrong message only the first time.
	"once other bytes": func(sock int, _ []int, first bool) peer.Socket {
		return once{honest{sock: sock}, first, func(m *peer.Message) { m.Buffers = [][]byte{{9}} }}
	},
	"once another file": func(sock int, _ []int, first bool) peer.Socket {
		return once{honest{sock: sock}, first, func(m *peer.Message) { m.FDs = []int{sock} }}
	},
	// These change a file that they must not change.
	"changes": func(sock int, _ []int, _ bool) peer.Socket {
		return honest{sock: sock, received: func(fds []int) { _ = unix.SetNonblock(fds[0], true) }}
	},
	"twists": func(sock int, _ []int, _ bool) peer.Socket { return twister{honest{sock: sock}, false} },
	"seeks":  func(sock int, _ []int, _ bool) peer.Socket { return twister{honest{sock: sock}, true} },
	// This one keeps a received file at the last descriptor of the pool, which belongs to a later case, until the case ends.
	"hides": func(sock int, pool []int, _ bool) peer.Socket {
		return &hider{honest: honest{sock: sock}, at: pool[len(pool)-1]}
	},
	// These also send the files that they send, or receive, to a socket of a later case.
	"parks what it sends": func(sock int, pool []int, _ bool) peer.Socket {
		return parker{honest{sock: sock}, laterSocket(pool, sock)}
	},
	"parks what it receives": func(sock int, pool []int, _ bool) peer.Socket {
		return honest{sock: sock, received: func(fds []int) {
			_, _ = raw.Send(laterSocket(pool, sock), [][]byte{{0}}, fds, unix.MSG_DONTWAIT)
		}}
	},
	// The libraries of these give up the connection when they receive.
	"quits": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{honest{sock: sock, err: errNoMore}, false, false}
	},
	"quits with EIO": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{honest{sock: sock, err: unix.EIO}, false, false}
	},
	"shuts down": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{honest{sock: sock, err: errNoMore}, true, false}
	},
	"is reset": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{honest{sock: sock, err: unix.ECONNRESET}, false, false}
	},
	// The calls of these fail if the payload begins with 0xff.
	"closes at once": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) { closeFDs(append(fds, sock)...) }}
	},
	"closes before it answers": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			closeFDs(append(fds, sock)...)
			for began := time.Now(); time.Since(began) < 250*time.Millisecond; {
				// The runner must see that it is awake.
			}
		}}
	},
	"closes later": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			closeFDs(fds...)
			time.AfterFunc(100*time.Millisecond, func() { closeFDs(sock) })
		}}
	},
	"never closes": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) { closeFDs(fds...) }}
	},
	"opens another file there": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			closeFDs(append(fds, sock)...)
			_, _ = unix.Open(os.DevNull, unix.O_RDWR, 0) // the lowest free descriptor
		}}
	},
	"moves a received file there": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			_ = unix.Dup3(fds[0], sock, unix.O_CLOEXEC)
			closeFDs(fds...)
		}}
	},
	"duplicates its socket": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			_, _ = unix.Dup(sock)
			closeFDs(fds...)
		}}
	},
	"keeps what it received": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func([]int) { closeFDs(sock) }}
	},
	"parks what it received": func(sock int, pool []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			_, _ = raw.Send(laterSocket(pool, sock), [][]byte{{0}}, fds, unix.MSG_DONTWAIT)
			closeFDs(append(fds, sock)...)
		}}
	},
	"parks what it received and closes later": func(sock int, pool []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) {
			_, _ = raw.Send(laterSocket(pool, sock), [][]byte{{0}}, fds, unix.MSG_DONTWAIT)
			closeFDs(fds...)
			time.AfterFunc(100*time.Millisecond, func() { closeFDs(sock) })
		}}
	},
	"keeps everything": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func([]int) {}}
	},
	"closes the socket of a later case": func(sock int, pool []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func(fds []int) { closeFDs(append(fds, sock, laterSocket(pool, sock))...) }}
	},
	"answers in part": func(sock int, _ []int, _ bool) peer.Socket {
		return failer{honest{sock: sock}, func([]int) {
			_, _ = unix.Write(1, []byte("err"))
			time.Sleep(time.Hour)
		}}
	},
	"does not support it and closes": func(sock int, _ []int, _ bool) peer.Socket {
		return refuser{honest{sock: sock}}
	},
	"closes without an error": func(sock int, _ []int, _ bool) peer.Socket {
		return honest{sock: sock, received: func([]int) { closeFDs(sock) }}
	},
	"quits at EAGAIN": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{honest{sock: sock, err: unix.EAGAIN}, false, false}
	},
}

// declared is a prefix of the name of a test peer. The answer to hello then has closes=yes.
const declared = "closes=yes: "

var errNoMore = errors.New("no more")

func init() {
	reexec.Register(testPeerChild, func(args []string) { runTestPeer(args[0], args[1]) })
}

// runTestPeer runs the test peer with this name. The file shows whether an earlier process has opened a socket.
func runTestPeer(what, file string) {
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
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600)
		_ = f.Close()
		return testPeers[what](sock, pool, err == nil), nil
	}})
}

// testPeer returns one of testPeers. It is called "x" unless a name is given.
func testPeer(t *testing.T, what string, name ...string) *scenario.Peer {
	t.Helper()
	p := scenario.Program(append(name, "x")[0], reexec.CommandLine(testPeerChild, what, filepath.Join(t.TempDir(), "opened"))...)
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// honest sends and receives correctly, except for what its fields change.
type honest struct {
	sock     int
	err      error           // returned by each receive
	received func(fds []int) // called with the received descriptors
	half     bool            // it sends half of the payload, and reports that count
	peeks    bool            // it leaves the messages that it receives in the queue
	more     peer.Message    // it sends this in addition to a message with descriptors
}

func (h honest) Send(m peer.Message) (int, error) {
	if h.half {
		m.Buffers[0] = m.Buffers[0][:len(m.Buffers[0])/2]
	}
	var more peer.Message
	if len(m.FDs) > 0 {
		more = h.more
	}
	n, err := raw.Send(h.sock, slices.Concat(m.Buffers, more.Buffers), slices.Concat(m.FDs, more.FDs), m.Flags)
	return n - len(slices.Concat(more.Buffers...)), err
}

func (h honest) Recv(r peer.Room) (got peer.Received, err error) {
	if h.err != nil {
		return got, h.err
	}
	if h.peeks {
		r.Flags |= unix.MSG_PEEK
	}
	n, fds, _, err := raw.Recv(h.sock, r.Buffers, r.FDs, r.Flags)
	if err == nil && h.received != nil {
		h.received(fds)
	}
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds}, err
}

// mute sends nothing, and reports success or err.
type mute struct{ err error }

func (m mute) Send(peer.Message) (int, error)        { return 1, m.err }
func (m mute) Recv(peer.Room) (peer.Received, error) { return peer.Received{}, peer.ErrUnsupported }

// once sends another message the first time.
type once struct {
	honest
	first  bool
	change func(m *peer.Message)
}

func (h once) Send(m peer.Message) (int, error) {
	if h.first {
		h.change(&m)
	}
	return h.honest.Send(m)
}

// thrifty receives two descriptors, returns one, closes the other, and reports both that and
// MSG_CTRUNC.
type thrifty struct{ honest }

func (h thrifty) Recv(r peer.Room) (peer.Received, error) {
	n, fds, flags, err := raw.Recv(h.sock, r.Buffers, 2, r.Flags)
	got := peer.Received{N: n, Payload: r.Filled(n), FDs: fds, HasFlags: true, Flags: flags & unix.MSG_CTRUNC}
	if len(fds) == 2 {
		got.FDs, got.Closed = fds[:1], 1
		err = unix.Close(fds[1])
	}
	return got, err
}

// counting reports that it closed the pidfd that the kernel added. raw.Recv closes it.
type counting struct{ honest }

func (h counting) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.honest.Recv(r)
	got.Closed = 1
	return got, err
}

// errorFirst reports an error of the socket before a queued message, as recvmmsg(2) does.
type errorFirst struct{ honest }

func (h errorFirst) Recv(r peer.Room) (peer.Received, error) {
	if errno, err := unix.GetsockoptInt(h.sock, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || errno != 0 {
		return peer.Received{}, errors.Join(err, unix.Errno(errno))
	}
	return h.honest.Recv(r)
}

// helped sends with the PID of another process, as a library does whose helper makes the calls.
type helped struct{ honest }

func (h helped) Send(m peer.Message) (int, error) {
	creds := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getppid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
	return unix.SendmsgN(h.sock, slices.Concat(m.Buffers...), append(creds, unix.UnixRights(m.FDs...)...), nil, m.Flags)
}

// generous receives with more room than the command says, and reports all that it received.
type generous struct{ honest }

func (h generous) Recv(r peer.Room) (peer.Received, error) {
	r.Buffers = append(r.Buffers, make([]byte, 64))
	r.FDs += 16
	return h.honest.Recv(r)
}

// doubler sends the descriptors of a message that failed with EAGAIN again, together with the next
// message.
type doubler struct {
	honest
	kept []int
}

func (h *doubler) Send(m peer.Message) (int, error) {
	m.FDs = append(h.kept, m.FDs...)
	n, err := h.honest.Send(m)
	if h.kept = nil; errors.Is(err, unix.EAGAIN) {
		h.kept = m.FDs
	}
	return n, err
}

// quitter gives up the connection when it receives. Its library rejects that call and all later ones.
type quitter struct {
	honest
	shuts, over bool
}

func (h *quitter) Send(m peer.Message) (int, error) {
	if h.over {
		return 0, peer.ErrUnsupported
	}
	return h.honest.Send(m)
}

func (h *quitter) Recv(peer.Room) (got peer.Received, err error) {
	if h.over {
		return got, peer.ErrUnsupported
	}
	if h.over = true; h.shuts {
		_ = unix.Shutdown(h.sock, unix.SHUT_RDWR)
	}
	return got, h.err
}

// failer fails if the payload begins with 0xff. It passes the descriptors that it received in the
// same call to fail.
type failer struct {
	honest
	fail func(fds []int)
}

func (h failer) Send(m peer.Message) (int, error) {
	if m.Buffers[0][0] == 0xff {
		h.fail(nil)
		return 0, unix.EIO
	}
	return h.honest.Send(m)
}

func (h failer) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.honest.Recv(r)
	if err == nil && got.N > 0 && got.Payload[0] == 0xff {
		h.fail(got.FDs)
		return peer.Received{}, unix.EIO
	}
	return got, err
}

// refuser receives a message and closes its socket, but answers unsupported.
type refuser struct{ honest }

func (h refuser) Recv(r peer.Room) (peer.Received, error) {
	got, _ := h.honest.Recv(r)
	closeFDs(append(got.FDs, h.sock)...)
	return peer.Received{}, peer.ErrUnsupported
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
	honest
	other int
}

func (h parker) Send(m peer.Message) (int, error) {
	_, _ = raw.Send(h.other, [][]byte{{0}}, m.FDs, unix.MSG_DONTWAIT)
	return h.honest.Send(m)
}

// hider keeps a received file at the descriptor of a later case.
type hider struct {
	honest
	at, aside int
}

func (h *hider) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.honest.Recv(r)
	if err != nil || len(got.FDs) == 0 {
		return got, err
	}
	if h.aside, err = unix.FcntlInt(uintptr(h.at), unix.F_DUPFD_CLOEXEC, 900); err == nil {
		err = unix.Dup3(got.FDs[0], h.at, 0)
	}
	return got, err
}

func (h *hider) Done() {
	if h.aside > 0 {
		_ = unix.Dup3(h.aside, h.at, 0)
		_ = unix.Close(h.aside)
	}
}

// twister makes the files that it sends non-blocking, or changes their offset.
type twister struct {
	honest
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
	return h.honest.Send(m)
}

// deadline is the time limit of tests in which a peer does not answer.
const deadline = time.Second
