package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// craftChild is a child of the test binary: the peer that its first argument names, one of crafts. The second
// argument is a file.
const craftChild = "craft"

// crafts make the test program a peer. pool has the descriptors that the peer was started with,
// and first is true if no earlier start of it has opened a socket.
var crafts = map[string]func(sock int, pool []int, first bool) peer.Socket{
	"right": func(sock int, _ []int, _ bool) peer.Socket { return adept{sock: sock} },
	"fails": func(sock int, _ []int, _ bool) peer.Socket { return adept{sock: sock, err: unix.EIO} },
	"short": func(sock int, _ []int, _ bool) peer.Socket { return adept{sock: sock, half: true} },
	"peeks": func(sock int, _ []int, _ bool) peer.Socket { return adept{sock: sock, peeks: true} },
	"sends more": func(sock int, _ []int, _ bool) peer.Socket {
		return adept{sock: sock, more: peer.Message{FDs: []int{0}}}
	},
	"sends a byte": func(sock int, _ []int, _ bool) peer.Socket {
		return adept{sock: sock, more: peer.Message{Buffers: [][]byte{{'!'}}}}
	},
	"doubles":  func(sock int, _ []int, _ bool) peer.Socket { return &doubler{adept: adept{sock: sock}} },
	"generous": func(sock int, _ []int, _ bool) peer.Socket { return generous{adept{sock: sock}} },
	"thrifty":  func(sock int, _ []int, _ bool) peer.Socket { return thrifty{adept{sock: sock}} },
	"counting": func(sock int, _ []int, _ bool) peer.Socket { return counting{adept{sock: sock}} },
	"mute":     func(int, []int, bool) peer.Socket { return mute{} },
	"refuses":  func(int, []int, bool) peer.Socket { return mute{peer.ErrUnsupported} },
	"moody": func(_ int, _ []int, first bool) peer.Socket {
		if first {
			return mute{} // which receives nothing
		}
		return mute{unix.EIO}
	},
	// These are wrong the first time only.
	"once other bytes": func(sock int, _ []int, first bool) peer.Socket {
		return once{adept{sock: sock}, first, func(m *peer.Message) { m.Buffers = [][]byte{{9}} }}
	},
	"once another file": func(sock int, _ []int, first bool) peer.Socket {
		return once{adept{sock: sock}, first, func(m *peer.Message) { m.FDs = []int{sock} }}
	},
	// These change a file that they must not change.
	"changes": func(sock int, _ []int, _ bool) peer.Socket {
		return adept{sock: sock, received: func(fds []int) { _ = unix.SetNonblock(fds[0], true) }}
	},
	"twists": func(sock int, _ []int, _ bool) peer.Socket { return twister{adept{sock: sock}, false} },
	"seeks":  func(sock int, _ []int, _ bool) peer.Socket { return twister{adept{sock: sock}, true} },
	// It keeps a received file at the last descriptor of the pool, a later case's, until the case ends.
	"hides": func(sock int, pool []int, _ bool) peer.Socket {
		return &hider{adept: adept{sock: sock}, at: pool[len(pool)-1]}
	},
	// These also send the files that they send, or receive, to a socket of a later case.
	"parks what it sends": func(sock int, pool []int, _ bool) peer.Socket {
		return parker{adept{sock: sock}, later(pool, sock)}
	},
	"parks what it receives": func(sock int, pool []int, _ bool) peer.Socket {
		return adept{sock: sock, received: func(fds []int) {
			_, _ = raw.Send(later(pool, sock), [][]byte{{0}}, fds, unix.MSG_DONTWAIT)
		}}
	},
	// The libraries of these give up the connection when they receive.
	"quits": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{adept{sock: sock, err: errNoMore}, false, false}
	},
	"quits with EIO": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{adept{sock: sock, err: unix.EIO}, false, false}
	},
	"shuts down": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{adept{sock: sock, err: errNoMore}, true, false}
	},
	"is reset": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{adept{sock: sock, err: unix.ECONNRESET}, false, false}
	},
	"quits at EAGAIN": func(sock int, _ []int, _ bool) peer.Socket {
		return &quitter{adept{sock: sock, err: unix.EAGAIN}, false, false}
	},
}

var errNoMore = errors.New("no more")

func init() {
	reexec.Register(craftChild, func(args []string) { beCraft(args[0], args[1]) })
}

// beCraft runs one of crafts, which finds out by the file whether it is the first to open a socket.
func beCraft(what, file string) {
	if what == "hidden" { // only a privileged process sees its descriptors
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
	peer.Main(peer.Library{Name: "x", Version: "1", Can: "stream,dgram,seqpacket,multi,flags", Open: func(sock int) (peer.Socket, error) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600)
		_ = f.Close()
		return crafts[what](sock, pool, err == nil), nil
	}})
}

// craft is one of crafts, with a name of its own if one is given.
func craft(t *testing.T, what string, name ...string) *scenario.Peer {
	t.Helper()
	p := scenario.Program(append(name, "x")[0], reexec.CommandLine(craftChild, what, filepath.Join(t.TempDir(), "opened"))...)
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// adept sends and receives correctly, except as its fields say.
type adept struct {
	sock     int
	err      error           // of each receive
	received func(fds []int) // is called with the descriptors that it receives
	half     bool            // it sends half of the payload, and reports that count
	peeks    bool            // it leaves the messages that it receives in the queue
	more     peer.Message    // it sends this in addition to a message with descriptors
}

func (h adept) Send(m peer.Message) (int, error) {
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

func (h adept) Recv(r peer.Room) (got peer.Received, err error) {
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
	adept
	first  bool
	change func(m *peer.Message)
}

func (h once) Send(m peer.Message) (int, error) {
	if h.first {
		h.change(&m)
	}
	return h.adept.Send(m)
}

// thrifty receives two descriptors, returns one, closes the other, and reports both that and
// MSG_CTRUNC.
type thrifty struct{ adept }

func (h thrifty) Recv(r peer.Room) (peer.Received, error) {
	n, fds, flags, err := raw.Recv(h.sock, r.Buffers, 2, r.Flags)
	got := peer.Received{N: n, Payload: r.Filled(n), FDs: fds, HasFlags: true, Flags: flags & unix.MSG_CTRUNC}
	if len(fds) == 2 {
		got.FDs, got.Closed = fds[:1], 1
		err = unix.Close(fds[1])
	}
	return got, err
}

// counting reports that it closed the pidfd that the kernel added, which raw.Recv does.
type counting struct{ adept }

func (h counting) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.adept.Recv(r)
	got.Closed = 1
	return got, err
}

// generous receives with more room than the command says, and reports all that it received.
type generous struct{ adept }

func (h generous) Recv(r peer.Room) (peer.Received, error) {
	r.Buffers = append(r.Buffers, make([]byte, 64))
	r.FDs += 16
	return h.adept.Recv(r)
}

// doubler sends the descriptors of a message that failed with EAGAIN again, together with the next
// message.
type doubler struct {
	adept
	kept []int
}

func (h *doubler) Send(m peer.Message) (int, error) {
	m.FDs = append(h.kept, m.FDs...)
	n, err := h.adept.Send(m)
	if h.kept = nil; errors.Is(err, unix.EAGAIN) {
		h.kept = m.FDs
	}
	return n, err
}

// quitter gives up the connection when it receives: its library refuses that call and all later
// ones.
type quitter struct {
	adept
	shuts, over bool
}

func (h *quitter) Send(m peer.Message) (int, error) {
	if h.over {
		return 0, peer.ErrUnsupported
	}
	return h.adept.Send(m)
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

// later returns the socket of a later case, or -1.
func later(pool []int, sock int) int {
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
	adept
	other int
}

func (h parker) Send(m peer.Message) (int, error) {
	_, _ = raw.Send(h.other, [][]byte{{0}}, m.FDs, unix.MSG_DONTWAIT)
	return h.adept.Send(m)
}

// hider keeps a received file at the descriptor of a later case.
type hider struct {
	adept
	at, aside int
}

func (h *hider) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.adept.Recv(r)
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
	adept
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
	return h.adept.Send(m)
}

// deadline is the time limit of tests in which a peer does not answer.
const deadline = 300 * time.Millisecond
