//go:build linux

package fault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"github.com/scm-rights/scm/interop/peers/go/peer"
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
	go func() {
		runtime.LockOSThread()
		apart <- unix.Unshare(unix.CLONE_FILES)
		for { // the runtime must not run other goroutines on this thread
			_, _ = unix.Poll(nil, -1)
		}
	}()
	return <-apart
}

// bounce is the size of the buffer through which many libraries copy.
const bounce = 65536

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
	"cloexec-rest": {
		What:   "makes only the first descriptor of a message close-on-exec",
		Checks: []scenario.Check{scenario.CheckCloexec},
		Text:   "a received descriptor is not close-on-exec",
		recv: with(func(fds []int) error {
			return inherited(fds[min(1, len(fds)):])
		}),
	},
	"close": {
		What:   "closes the descriptors of the previous receive at each receive",
		Checks: []scenario.Check{scenario.CheckAnswer, scenario.CheckFile},
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			got, err := s.recv(r)
			closeAll(s.fds)
			s.fds = got.FDs
			return got, err
		},
	},
	"hangup": {
		What:   "closes its socket when a call fails, and does not say in hello that it does",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "was closed without a command to do so",
		fail:   func(s *socket) { hangUp(s.fd) },
	},
	"owns": {
		What:   "closes what it received when its socket is closed",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "was closed without a command to do so",
		recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
			s.fds = append(s.fds, got.FDs...)
			return nil
		}),
		done: func(s *socket) { closeAll(s.fds) },
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
	"first": {
		What:   "returns the first descriptor, and closes the others",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptors, and not ",
		spoil: func(got *peer.Received) {
			if len(got.FDs) > 1 {
				closeAll(got.FDs[1:])
				got.FDs = got.FDs[:1]
			}
		},
	},
	"firstcmsg": {
		What:   "looks only at the first control message",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "0 descriptors, and not ",
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			got, messages, err := s.recvControl(r, r.FDs)
			if err == nil && len(messages) > 0 && isRights(messages[0]) {
				got.FDs, err = unix.ParseUnixRights(&messages[0])
			}
			return got, err
		},
	},
	"foreign": {
		What:   "treats the data of every control message as descriptors",
		Checks: []scenario.Check{scenario.CheckAnswer, scenario.CheckFile},
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			got, messages, err := s.recvControl(r, r.FDs)
			for _, m := range messages {
				data := m.Data
				if !isRights(m) {
					data = data[:min(4, len(data))] // of credentials only the process ID: the user and group IDs can be descriptors of the peer
				}
				for ; len(data) >= 4; data = data[4:] {
					got.FDs = append(got.FDs, int(int32(binary.NativeEndian.Uint32(data))))
				}
			}
			return got, err
		},
	},
	"fork": {
		What:   "leaves behind a child process that inherited what it received",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is still open somewhere",
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
	"hundredth": {
		What:   "keeps a duplicate of every hundredth descriptor received on a connection",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is open, and the peer did not report it",
		recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
			for _, fd := range got.FDs {
				if s.count++; s.count%100 == 0 {
					if err := keep([]int{fd}); err != nil {
						return err
					}
				}
			}
			return nil
		}),
	},
	"leak": {
		What:   "receives one descriptor more than requested, and keeps it",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is open, and the peer did not report it",
		Slow:   true,
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			asked := r.FDs
			r.FDs++
			got, err := s.recv(r)
			if len(got.FDs) > asked {
				got.FDs = got.FDs[:asked]
				got.Flags |= unix.MSG_CTRUNC
			}
			return got, err
		},
	},
	"mixup": {
		What:   "reports the descriptors that it sent last as received",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "which it had already",
		send: func(s *socket, m peer.Message) (int, error) {
			s.sent = m.FDs
			return s.send(m)
		},
		recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
			if len(s.sent) > 0 {
				closeAll(got.FDs)
				got.FDs = s.sent
			}
			return nil
		}),
	},
	"pidfd": {
		What:   "leaves open the pidfd that the kernel adds to a message",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "the sender's pidfd, as ",
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			got, messages, err := s.recvControl(r, r.FDs+20) // enough for the pidfd after more descriptors than were requested
			if err == nil {
				got, err = s.rights(got, messages)
			}
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
	"slots": {
		What:   "pads the list of received descriptors with -1 up to the number requested",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "which it had already",
		recv: after(func(_ *socket, r peer.Room, got *peer.Received) error {
			for len(got.FDs) < r.FDs {
				got.FDs = append(got.FDs, -1)
			}
			return nil
		}),
	},
	"park": {
		What:   "keeps what it received in flight, in a message to itself",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is still open somewhere",
		Slow:   true,
		recv:   with(park),
	},
	"overwrite": {
		What:   "duplicates what it received onto its standard error",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "as 2, is open, and the peer did not report it",
		recv: after(func(_ *socket, _ peer.Room, got *peer.Received) error {
			if len(got.FDs) == 0 {
				return nil
			}
			return unix.Dup3(got.FDs[0], 2, 0)
		}),
	},
	"stale": {
		What:   "reports the descriptors of the previous receive again if none arrive",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "which it had already",
		recv: after(func(s *socket, r peer.Room, got *peer.Received) error {
			if len(got.FDs) == 0 && r.FDs > 0 {
				got.FDs = s.fds[:min(len(s.fds), r.FDs)]
			}
			s.fds = got.FDs
			return nil
		}),
	},
	"swap": {
		What:   "reports several descriptors in the wrong order",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "is not the open file description of",
		spoil: func(got *peer.Received) {
			slices.Reverse(got.FDs)
		},
	},

	// These faults change the state of the open file description, which the receiver shares
	// with the sender.
	"blocking": {
		What:   "makes the files that it receives blocking",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "status flags",
		recv:   with(status(func(flags int) int { return flags &^ unix.O_NONBLOCK })),
	},
	"nonblock": {
		What:   "makes the files that it receives non-blocking",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "status flags",
		recv: with(status(func(flags int) int {
			return flags | unix.O_NONBLOCK
		})),
	},
	"seek": {
		What:   "moves the offset of the files that it receives",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "is at offset",
		spoil: func(got *peer.Received) {
			for _, fd := range got.FDs {
				_, _ = unix.Seek(fd, 7, unix.SEEK_SET) // not every kind of file has an offset
			}
		},
	},
	"read-byte": {
		What:   "reads a byte from the files that it receives",
		Checks: []scenario.Check{scenario.CheckAnswer, scenario.CheckFile},
		spoil: func(got *peer.Received) {
			for _, fd := range got.FDs {
				fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				if n, err := pollNow(fds); err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0 {
					_, _ = unix.Read(fd, make([]byte, 1)) // not every kind of file can be read
				}
			}
		},
	},

	// Bytes.
	"bounce": {
		What:   "copies through a buffer of 65,536 bytes, and loses everything beyond",
		Checks: []scenario.Check{scenario.CheckAnswer},
		send: func(s *socket, m peer.Message) (int, error) {
			size := total(m)
			if size > bounce {
				m.Buffers = [][]byte{slices.Concat(m.Buffers...)[:bounce]}
			}
			if n, err := s.send(m); err != nil {
				return n, err
			}
			return size, nil
		},
		room: func(r *peer.Room) {
			if all := slices.Concat(r.Buffers...); len(all) > bounce {
				r.Buffers = [][]byte{all[:bounce]}
			}
		},
	},
	"count": {
		What:   "reports one byte too many",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "n is ",
		spoil:  func(got *peer.Received) { got.N++ },
	},
	"eat": {
		What:   "loses the first byte",
		Checks: []scenario.Check{scenario.CheckAnswer},
		spoil: func(got *peer.Received) {
			if len(got.Payload) > 0 {
				got.Payload = got.Payload[1:]
				got.N--
			}
		},
	},
	"pad": {
		What:   "reports its whole buffers as the payload",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "payload is",
		recv: after(func(_ *socket, r peer.Room, got *peer.Received) error {
			got.Payload = slices.Concat(r.Buffers...)
			return nil
		}),
	},
	"small": {
		What:   "receives at most 1,000 bytes",
		Checks: []scenario.Check{scenario.CheckAnswer},
		room: func(r *peer.Room) {
			r.Buffers = [][]byte{make([]byte, min(1000, len(slices.Concat(r.Buffers...))))}
		},
	},
	"text": {
		What:   "ends the payload at the first zero byte after the first byte",
		Checks: []scenario.Check{scenario.CheckAnswer},
		spoil: func(got *peer.Received) {
			if i := bytes.IndexByte(got.Payload[min(1, len(got.Payload)):], 0); i >= 0 {
				got.Payload = got.Payload[:i+1]
				got.N = i + 1
			}
		},
	},
	"vector": {
		What:   "uses only the first of several buffers",
		Checks: []scenario.Check{scenario.CheckAnswer},
		message: func(m *peer.Message) {
			m.Buffers = m.Buffers[:1]
		},
		room: func(r *peer.Room) {
			r.Buffers = r.Buffers[:1]
		},
	},

	// Messages and their boundaries.
	"believe": {
		What:   "treats an integer in the payload as a descriptor",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptors, and not ",
		spoil: func(got *peer.Received) {
			if len(got.FDs) == 0 && len(got.Payload) == 20 {
				got.FDs = []int{int(binary.NativeEndian.Uint32(got.Payload[16:]))}
			}
		},
	},
	"buffer": {
		What:   "reads as much as it can, and returns it in pieces",
		Checks: []scenario.Check{scenario.CheckAnswer},
		recv:   buffered,
	},
	"cache": {
		What:   "reports the descriptors of the first peek again at later receives",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "which it had already",
		recv:   cached,
	},
	"dummy": {
		What:   "adds a byte to empty messages",
		Checks: []scenario.Check{scenario.CheckAnswer},
		send: func(s *socket, m peer.Message) (int, error) {
			if total(m) > 0 {
				return s.send(m)
			}
			m.Buffers = [][]byte{{0}}
			_, err := s.send(m)
			return 0, err
		},
		room: func(r *peer.Room) {
			if len(slices.Concat(r.Buffers...)) == 0 {
				r.Buffers = [][]byte{make([]byte, 1)}
			}
		},
	},
	"eof": {
		What:   "treats a message of zero bytes as the end of the stream",
		Checks: []scenario.Check{scenario.CheckAnswer},
		spoil: func(got *peer.Received) {
			if got.N == 0 {
				closeAll(got.FDs)
				*got = peer.Received{HasFlags: true, EOF: true}
			}
		},
	},
	"fill": {
		What:   "receives repeatedly until its buffer is full or no message is waiting",
		Checks: []scenario.Check{scenario.CheckAnswer},
		recv:   filled,
	},
	"hup": {
		What:   "reports the end of the connection when the other side shuts down, without reading what is queued",
		Checks: []scenario.Check{scenario.CheckAnswer},
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLRDHUP}}
			if n, err := pollNow(fds); err == nil && n == 1 {
				return peer.Received{HasFlags: true, EOF: true}, nil
			}
			return s.recv(r)
		},
	},

	// Flags and errors.
	"cry": {
		What:   "reports every message as truncated",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "there are flags",
		spoil: func(got *peer.Received) {
			got.Flags |= unix.MSG_CTRUNC | unix.MSG_TRUNC
		},
	},
	"deaf": {
		What:        "ignores flags",
		Checks:      []scenario.Check{scenario.CheckAnswer, scenario.CheckHang},
		EndsSession: true,
		Slow:        true,
		message: func(m *peer.Message) {
			m.Flags = 0
		},
		room: func(r *peer.Room) {
			r.Flags = 0
		},
	},
	"hasty": {
		What:   "never waits",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Slow:   true,
		message: func(m *peer.Message) {
			m.Flags |= unix.MSG_DONTWAIT
		},
		room: func(r *peer.Room) {
			r.Flags |= unix.MSG_DONTWAIT
		},
	},
	"hush": {
		What:   "never reports truncation",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "no flag",
		spoil: func(got *peer.Received) {
			got.Flags &^= unix.MSG_CTRUNC | unix.MSG_TRUNC
		},
	},
	"optimist": {
		What:   "reports success for failed calls",
		Checks: []scenario.Check{scenario.CheckAnswer},
		send: func(s *socket, m peer.Message) (int, error) {
			if n, err := s.send(m); err == nil {
				return n, nil
			}
			return total(m), nil
		},
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			got, err := s.recv(r)
			if err != nil {
				return peer.Received{HasFlags: true}, nil
			}
			return got, nil
		},
	},
	"readv": {
		What:   "neither passes nor reports flags if there are several buffers, or if no descriptors are requested",
		Checks: []scenario.Check{scenario.CheckAnswer, scenario.CheckHang},
		Slow:   true,
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			if len(r.Buffers) == 1 && r.FDs > 0 {
				return s.recv(r)
			}
			r.Flags = 0
			got, err := s.recv(r)
			got.Flags = 0
			return got, err
		},
	},
	"spare": {
		What:   "needs a spare descriptor for each receive",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Slow:   true,
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			n, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return peer.Received{}, err
			}
			defer unix.Close(n)
			return s.recv(r)
		},
	},
	"sticky": {
		What:   "makes its socket non-blocking for a call that must not wait, and leaves it non-blocking",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "it does not wait",
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			if r.Flags&unix.MSG_DONTWAIT != 0 {
				if err := unix.SetNonblock(s.fd, true); err != nil {
					return peer.Received{}, err
				}
			}
			return s.recv(r)
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

func cached(s *socket, r peer.Room) (peer.Received, error) {
	got, err := s.recv(r)
	switch {
	case err != nil:
	case len(s.fds) > 0 && len(got.FDs) > 0:
		closeAll(got.FDs)
		got.FDs = s.fds
	case r.Flags&unix.MSG_PEEK != 0:
		s.fds = got.FDs
	}
	return got, err
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

// pollNow polls without waiting.
func pollNow(fds []unix.PollFd) (n int, err error) {
	for {
		if n, err = unix.Poll(fds, 0); err != unix.EINTR {
			return n, err
		}
	}
}
