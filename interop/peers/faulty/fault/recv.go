//go:build linux

package fault

import (
	"errors"
	"os"
	"os/exec"
	"slices"

	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// after returns a faulty receive that spoils the result of a correct one.
func after(spoil func(s *socket, r peer.Room, got *peer.Received) error) func(*socket, peer.Room) (peer.Received, error) {
	return func(s *socket, r peer.Room) (peer.Received, error) {
		got, err := s.recv(r)
		if err != nil {
			return got, err
		}
		return got, spoil(s, r, &got)
	}
}

// with returns a faulty receive that applies do to the descriptors received.
func with(do func(fds []int) error) func(*socket, peer.Room) (peer.Received, error) {
	return after(func(_ *socket, _ peer.Room, got *peer.Received) error { return do(got.FDs) })
}

// unshare starts a thread that keeps everything open that is open now.
func unshare(fds []int) error {
	if len(fds) == 0 {
		return nil
	}
	apart := make(chan error, 1)
	go ownthread.Run(func() {
		apart <- unix.Unshare(unix.CLONE_FILES)
		for { // the runtime must not run other goroutines on this thread, also after EINTR
			_, _ = unix.Poll(nil, -1)
		}
	})
	return <-apart
}

// lastControl is the msg_controllen that reuse passes, in all cases of a process.
var lastControl = unix.CmsgSpace(4 * 253)

// recvFaults are the faults of a library that receives, or does both.
var recvFaults = map[string]Fault{
	// Descriptors.
	"unshare": {
		What:   "keeps what it sends and receives in the separate descriptor table of a thread",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is still open",
		Slow:   true,
		send: func(s *socket, m peer.Message) (int, error) {
			n, err := s.send(m)
			if err == nil {
				err = unshare(m.FDs)
			}
			return n, err
		},
		recv: with(unshare),
	},
	"cloexec": {
		What:   "receives without close-on-exec",
		Checks: []scenario.Check{scenario.CheckCloexec},
		Text:   "a received descriptor is not close-on-exec",
		recv:   with(inherited),
	},
	"dup": {
		What:   "keeps a duplicate of the first descriptor of each message",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is open, and the peer did not report it",
		Slow:   true,
		recv: with(func(fds []int) error {
			return keep(fds[:min(1, len(fds))])
		}),
	},
	"fork": {
		What:   "leaves behind a child process that inherited what it received",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is still open in process",
		Slow:   true,
		spoil: func(got *peer.Received) {
			child := exec.Command("sleep", "600")
			for _, fd := range got.FDs {
				n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
				if err != nil {
					return // the descriptor table is full: this fault is not possible
				}
				f := os.NewFile(uintptr(n), "received")
				defer f.Close()
				child.ExtraFiles = append(child.ExtraFiles, f)
			}
			_ = child.Start() // it fails for the same reason
		},
	},
	"pidfd": {
		What:   "leaves open the pidfd that the kernel adds to a message",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "the sender's pidfd, as ",
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			// enough for the pidfd after more descriptors than were requested
			got, _, err := s.recvControl(r, raw.NewMessage(r.Buffers, controlFor(r.FDs+20)))
			if len(got.FDs) > r.FDs {
				closeAll(got.FDs[r.FDs:])
				got.FDs = got.FDs[:r.FDs]
				got.Flags |= unix.MSG_CTRUNC
			}
			return got, err
		},
	},
	"replace": {
		What:   "replaces the descriptors that it sent, or received earlier, by another file",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "refers to another file now, without a command to do so",
		send: func(s *socket, m peer.Message) (int, error) {
			n, err := s.send(m)
			return n, errors.Join(err, replace(m.FDs))
		},
		recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
			before := s.fds
			s.fds = append(slices.Clone(before), got.FDs...)
			return replace(before)
		}),
	},
	"rob": {
		What:   "closes its lowest descriptor, except for those just received",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "was closed without a command to do so",
		spoil: func(got *peer.Received) {
			for n := 3; slices.Contains(got.FDs, n) || unix.Close(n) != nil; n++ {
			}
		},
	},
	"park": {
		What:   "keeps what it received in flight, in a message to itself",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is still open somewhere",
		Slow:   true,
		recv:   with(park),
	},
	// These faults change the state of the open file description, which the receiver shares
	// with the sender.
	"nonblock": {
		What:   "makes the files that it receives non-blocking",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "status flags",
		recv: with(status(func(flags int) int {
			return flags | unix.O_NONBLOCK
		})),
	},

	// Messages and their boundaries.
	"buffer": {
		What:   "reads as much as it can, and returns it in pieces",
		Checks: []scenario.Check{scenario.CheckAnswer},
		recv:   buffered,
	},
	"fill": {
		What:   "receives repeatedly until its buffer is full or no message is waiting",
		Checks: []scenario.Check{scenario.CheckAnswer},
		recv:   filled,
	},

	// Flags and errors.
	"impatient": {
		What:   "stops waiting after a time of its own",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "does not wait",
		send: func(s *socket, m peer.Message) (int, error) {
			must(unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 50_000}))
			return s.send(m)
		},
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			must(unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}))
			return s.recv(r)
		},
	},
	"deaf": {
		What:     "ignores flags",
		Checks:   []scenario.Check{scenario.CheckAnswer, scenario.CheckHang},
		EndsPair: true,
		Slow:     true,
		message: func(m *peer.Message) {
			m.Flags = 0
		},
		room: func(r *peer.Room) {
			r.Flags = 0
		},
	},
	"reuse": {
		What:    "receives with the msghdr of the last receive, in which the kernel has set msg_controllen",
		Checks:  []scenario.Check{scenario.CheckAnswer},
		Process: true,
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			m := raw.NewMessage(r.Buffers, make([]byte, min(lastControl, unix.CmsgLen(4*r.FDs))))
			got, _, err := s.recvControl(r, m)
			if err == nil {
				lastControl = m.ControlLen
			}
			return got, err
		},
	},
}

// parking is a socket pair that keeps descriptors in flight.
var parking [2]int

func park(fds []int) (err error) {
	if len(fds) == 0 {
		return nil
	}
	if parking[1] == 0 {
		if parking, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return nil // the descriptor table is full: this fault is not possible
		}
	}
	return unix.Sendmsg(parking[0], []byte{0}, unix.UnixRights(fds...), nil, unix.MSG_DONTWAIT)
}

func inherited(fds []int) error { return fcntlAll(fds, unix.F_SETFD) }

func keep(fds []int) error { return fcntlAll(fds, unix.F_DUPFD_CLOEXEC) }

func fcntlAll(fds []int, cmd int) error {
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), cmd, 0); err != nil {
			return err
		}
	}
	return nil
}

// replace duplicates /dev/null onto those of these descriptors that are open.
func replace(fds []int) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // the descriptor table is full: this fault is not possible
	}
	defer unix.Close(null)
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
			return err
		}
	}
	return nil
}

// status changes the status flags of the files, except those opened with O_PATH, which have none.
func status(change func(flags int) int) func(fds []int) error {
	return func(fds []int) error {
		for _, fd := range fds {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			if err == nil && flags&unix.O_PATH == 0 {
				_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, change(flags))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// buffered returns bytes and descriptors that it read earlier, and reads only if none are left.
func buffered(s *socket, r peer.Room) (peer.Received, error) {
	if len(s.rest.Payload) == 0 && len(s.rest.FDs) == 0 {
		whole := peer.Room{Buffers: [][]byte{make([]byte, 64<<10)}, FDs: 253, Flags: r.Flags}
		got, err := s.recv(whole)
		if err != nil {
			return got, err
		}
		s.rest = got
	}
	room := len(slices.Concat(r.Buffers...))
	got := peer.Received{HasFlags: true, Payload: s.rest.Payload[:min(room, len(s.rest.Payload))], FDs: s.rest.FDs[:min(r.FDs, len(s.rest.FDs))]}
	got.N = len(got.Payload)
	s.rest.Payload, s.rest.FDs = s.rest.Payload[got.N:], s.rest.FDs[len(got.FDs):]
	return got, nil
}

// filled waits only for the first message.
func filled(s *socket, r peer.Room) (peer.Received, error) {
	all, err := s.recv(r)
	if err != nil {
		return all, err
	}
	for room := len(slices.Concat(r.Buffers...)); all.N < room && all.N > 0; {
		next := peer.Room{Buffers: [][]byte{make([]byte, room-all.N)}, FDs: max(0, r.FDs-len(all.FDs)), Flags: unix.MSG_DONTWAIT}
		got, err := s.recv(next)
		if err != nil || got.N == 0 {
			break // no message is waiting
		}
		all.N += got.N
		all.Payload = append(all.Payload, got.Payload...)
		all.FDs = append(all.FDs, got.FDs...)
		all.Flags |= got.Flags
	}
	return all, nil
}
