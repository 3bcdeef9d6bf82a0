//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// after is a fault that spoils what was received rightly.
func after(spoil func(s *socket, r peer.Room, got *peer.Received) error) func(*socket, peer.Room) (peer.Received, error) {
	return func(s *socket, r peer.Room) (peer.Received, error) {
		got, err := s.recv(r)
		if err != nil {
			return got, err
		}
		return got, spoil(s, r, &got)
	}
}

// with is a fault that does something to the descriptors received.
func with(do func(fds []int) error) func(*socket, peer.Room) (peer.Received, error) {
	return after(func(_ *socket, _ peer.Room, got *peer.Received) error { return do(got.FDs) })
}

// unshare has a thread of its own keep what is open now.
func unshare(fds []int) error {
	if len(fds) == 0 {
		return nil
	}
	apart := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		apart <- unix.Unshare(unix.CLONE_FILES)
		for { // the runtime has no use for this thread any more
			_, _ = unix.Poll(nil, -1)
		}
	}()
	return <-apart
}

// bounce is the size of a buffer that many libraries copy through.
const bounce = 65536

// recvFaults are the faults of a library that receives, or does both.
var recvFaults = map[string]fault{
	// Descriptors.
	"unshare": {what: "keeps what it sends and receives in a table of another thread's own", send: func(s *socket, m peer.Message) (int, error) {
		n, err := s.send(m)
		if err == nil {
			err = unshare(m.FDs)
		}
		return n, err
	}, recv: with(unshare)},
	"cloexec": {what: "receives without close-on-exec", recv: with(inherited)},
	"cloexec-rest": {what: "makes only the first descriptor of a message close-on-exec", recv: with(func(fds []int) error {
		return inherited(fds[min(1, len(fds)):])
	})},
	"close": {what: "closes what it received before, at each receive", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		got, err := s.recv(r)
		closeAll(s.fds)
		s.fds = got.FDs
		return got, err
	}},
	"owns": {what: "closes what it received when its socket is closed", recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
		s.fds = append(s.fds, got.FDs...)
		return nil
	}), done: func(s *socket) { closeAll(s.fds) }},
	"dup": {what: "keeps a duplicate of what it received", recv: with(func(fds []int) error {
		return keep(fds[:min(1, len(fds))])
	})},
	"first": {what: "takes the first descriptor, and closes the others", spoil: func(got *peer.Received) {
		if len(got.FDs) > 1 {
			closeAll(got.FDs[1:])
			got.FDs = got.FDs[:1]
		}
	}},
	"firstcmsg": {what: "looks at the first control message alone", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		got, messages, err := s.recvControl(r, r.FDs)
		if err == nil && len(messages) > 0 && isRights(messages[0]) {
			got.FDs, err = unix.ParseUnixRights(&messages[0])
		}
		return got, err
	}},
	"foreign": {what: "takes what any control message begins with for descriptors", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		got, messages, err := s.recvControl(r, r.FDs)
		for _, m := range messages {
			data := m.Data
			if !isRights(m) {
				data = data[:min(4, len(data))] // of credentials the process number: the others are low numbers, which are its own
			}
			for ; len(data) >= 4; data = data[4:] {
				got.FDs = append(got.FDs, int(int32(binary.NativeEndian.Uint32(data))))
			}
		}
		return got, err
	}},
	"fork": {what: "starts a program that has what it received, and leaves it behind", spoil: func(got *peer.Received) {
		child := exec.Command("sleep", "600")
		for _, fd := range got.FDs {
			n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return // a table that is full has no room for this fault
			}
			f := os.NewFile(uintptr(n), "received")
			defer f.Close()
			child.ExtraFiles = append(child.ExtraFiles, f)
		}
		_ = child.Start() // nor has it here
	}},
	"hundredth": {what: "keeps a duplicate of every hundredth descriptor of a connection", recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
		for _, fd := range got.FDs {
			if s.count++; s.count%100 == 0 {
				if err := keep([]int{fd}); err != nil {
					return err
				}
			}
		}
		return nil
	})},
	"leak": {what: "takes one descriptor more than there is room for, and keeps it", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		asked := r.FDs
		r.FDs++
		got, err := s.recv(r)
		if len(got.FDs) > asked {
			got.FDs = got.FDs[:asked]
			got.Flags |= unix.MSG_CTRUNC
		}
		return got, err
	}},
	"mixup": {what: "reports the descriptors that it sent last as received", send: func(s *socket, m peer.Message) (int, error) {
		s.sent = m.FDs
		return s.send(m)
	}, recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
		if len(s.sent) > 0 {
			closeAll(got.FDs)
			got.FDs = s.sent
		}
		return nil
	})},
	"pidfd": {what: "leaves open the pidfd that the kernel adds to a message", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		got, messages, err := s.recvControl(r, r.FDs+20) // room for the pidfd behind more descriptors than were asked for
		if err == nil {
			got, err = s.rights(got, messages)
		}
		if len(got.FDs) > r.FDs {
			closeAll(got.FDs[r.FDs:])
			got.FDs = got.FDs[:r.FDs]
			got.Flags |= unix.MSG_CTRUNC
		}
		return got, err
	}},
	"replace": {what: "has another file at the numbers that it sent, and at those received before", send: func(s *socket, m peer.Message) (int, error) {
		n, err := s.send(m)
		return n, errors.Join(err, replace(m.FDs))
	}, recv: after(func(s *socket, _ peer.Room, got *peer.Received) error {
		before := s.fds
		s.fds = append(slices.Clone(before), got.FDs...)
		return replace(before)
	})},
	"rob": {what: "closes the lowest number that it has, but for those just received", spoil: func(got *peer.Received) {
		for n := 3; slices.Contains(got.FDs, n) || unix.Close(n) != nil; n++ {
		}
	}},
	"slots": {what: "reports as many numbers as there was room for", recv: after(func(_ *socket, r peer.Room, got *peer.Received) error {
		for len(got.FDs) < r.FDs {
			got.FDs = append(got.FDs, -1)
		}
		return nil
	})},
	"park": {what: "keeps what it received in a message to itself", recv: with(park)},
	"overwrite": {what: "keeps what it received as its standard error", recv: after(func(_ *socket, _ peer.Room, got *peer.Received) error {
		if len(got.FDs) == 0 {
			return nil
		}
		return unix.Dup3(got.FDs[0], 2, 0)
	})},
	"stale": {what: "reports the last receive's numbers again when none came", recv: after(func(s *socket, r peer.Room, got *peer.Received) error {
		if len(got.FDs) == 0 && r.FDs > 0 {
			got.FDs = s.fds[:min(len(s.fds), r.FDs)]
		}
		s.fds = got.FDs
		return nil
	})},
	"swap": {what: "reports several descriptors in the wrong order", spoil: func(got *peer.Received) {
		slices.Reverse(got.FDs)
	}},

	// What a description shares with the sender's.
	"blocking": {what: "makes what it received wait", recv: with(status(func(flags int) int { return flags &^ unix.O_NONBLOCK }))},
	"nonblock": {what: "makes what it received non-blocking", recv: with(status(func(flags int) int {
		return flags | unix.O_NONBLOCK
	}))},
	"seek": {what: "moves the offset of what it received", spoil: func(got *peer.Received) {
		for _, fd := range got.FDs {
			_, _ = unix.Seek(fd, 7, unix.SEEK_SET) // not all kinds have one
		}
	}},
	"read-byte": {what: "reads a byte from what it received", spoil: func(got *peer.Received) {
		for _, fd := range got.FDs {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(fds, 0); err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0 {
				_, _ = unix.Read(fd, make([]byte, 1)) // not all kinds can be read
			}
		}
	}},

	// Bytes.
	"bounce": {what: "copies what is longer through a buffer of 65,536 bytes, and loses the rest", send: func(s *socket, m peer.Message) (int, error) {
		size := total(m)
		if size > bounce {
			m.Buffers = [][]byte{slices.Concat(m.Buffers...)[:bounce]}
		}
		if n, err := s.send(m); err != nil {
			return n, err
		}
		return size, nil
	}, room: func(r *peer.Room) {
		if all := slices.Concat(r.Buffers...); len(all) > bounce {
			r.Buffers = [][]byte{all[:bounce]}
		}
	}},
	"count": {what: "counts a byte too many", spoil: func(got *peer.Received) { got.N++ }},
	"eat": {what: "loses the first byte", spoil: func(got *peer.Received) {
		if len(got.Payload) > 0 {
			got.Payload = got.Payload[1:]
			got.N--
		}
	}},
	"pad": {what: "reports the whole of its buffers", recv: after(func(_ *socket, r peer.Room, got *peer.Received) error {
		got.Payload = slices.Concat(r.Buffers...)
		return nil
	})},
	"small": {what: "receives a thousand bytes at most", room: func(r *peer.Room) {
		r.Buffers = [][]byte{make([]byte, min(1000, len(slices.Concat(r.Buffers...))))}
	}},
	"text": {what: "takes a zero behind the first byte for the end of the payload", spoil: func(got *peer.Received) {
		if i := bytes.IndexByte(got.Payload[min(1, len(got.Payload)):], 0); i >= 0 {
			got.Payload = got.Payload[:i+1]
			got.N = i + 1
		}
	}},
	"vector": {what: "uses the first of several buffers", message: func(m *peer.Message) {
		m.Buffers = m.Buffers[:1]
	}, room: func(r *peer.Room) {
		r.Buffers = r.Buffers[:1]
	}},

	// Messages and their boundaries.
	"believe": {what: "believes a number in the payload", spoil: func(got *peer.Received) {
		if len(got.FDs) == 0 && len(got.Payload) == 20 {
			got.FDs = []int{int(binary.NativeEndian.Uint32(got.Payload[16:]))}
		}
	}},
	"buffer": {what: "reads as much as it can and hands it over in pieces", recv: buffered},
	"cache":  {what: "reports what it saw at the first peek again", recv: cached},
	"dummy": {what: "adds a byte to what is empty", send: func(s *socket, m peer.Message) (int, error) {
		if total(m) > 0 {
			return s.send(m)
		}
		m.Buffers = [][]byte{{0}}
		_, err := s.send(m)
		return 0, err
	}, room: func(r *peer.Room) {
		if len(slices.Concat(r.Buffers...)) == 0 {
			r.Buffers = [][]byte{make([]byte, 1)}
		}
	}},
	"eof": {what: "takes a message of no bytes for the end", spoil: func(got *peer.Received) {
		if got.N == 0 {
			closeAll(got.FDs)
			*got = peer.Received{HasFlags: true, EOF: true}
		}
	}},
	"fill": {what: "receives again until its buffer is full or nothing waits", recv: filled},
	"hup": {what: "takes the other side's end for its own, whatever waits", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); err == nil && n == 1 {
			return peer.Received{HasFlags: true, EOF: true}, nil
		}
		return s.recv(r)
	}},

	// Flags and errors.
	"cry": {what: "says that everything was cut", spoil: func(got *peer.Received) {
		got.Flags |= unix.MSG_CTRUNC | unix.MSG_TRUNC
	}},
	"deaf": {what: "ignores the flags that it is told", message: func(m *peer.Message) {
		m.Flags = 0
	}, room: func(r *peer.Room) {
		r.Flags = 0
	}},
	"hasty": {what: "waits for nothing", message: func(m *peer.Message) {
		m.Flags |= unix.MSG_DONTWAIT
	}, room: func(r *peer.Room) {
		r.Flags |= unix.MSG_DONTWAIT
	}},
	"hush": {what: "says of nothing that it was cut", spoil: func(got *peer.Received) {
		got.Flags &^= unix.MSG_CTRUNC | unix.MSG_TRUNC
	}},
	"optimist": {what: "says that all went well", send: func(s *socket, m peer.Message) (int, error) {
		if n, err := s.send(m); err == nil {
			return n, nil
		}
		return total(m), nil
	}, recv: func(s *socket, r peer.Room) (peer.Received, error) {
		got, err := s.recv(r)
		if err != nil {
			return peer.Received{HasFlags: true}, nil
		}
		return got, nil
	}},
	"readv": {what: "neither passes nor reports flags where there are several buffers, or no room for descriptors", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		if len(r.Buffers) == 1 && r.FDs > 0 {
			return s.recv(r)
		}
		r.Flags = 0
		got, err := s.recv(r)
		got.Flags = 0
		return got, err
	}},
	"spare": {what: "needs a number of its own for each receive", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		n, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return peer.Received{}, err
		}
		defer unix.Close(n)
		return s.recv(r)
	}},
	"sticky": {what: "makes its socket non-blocking where it is not to wait, and leaves it so", recv: func(s *socket, r peer.Room) (peer.Received, error) {
		if r.Flags&unix.MSG_DONTWAIT != 0 {
			if err := unix.SetNonblock(s.fd, true); err != nil {
				return peer.Received{}, err
			}
		}
		return s.recv(r)
	}},
}

// parking is a socket, and its other end, in which descriptors lie that have no number.
var parking [2]int

func park(fds []int) (err error) {
	if len(fds) == 0 {
		return nil
	}
	if parking[1] == 0 {
		if parking, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return nil // a table that is full has no room for this fault
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

// replace has another file where these numbers are open.
func replace(fds []int) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // a table that is full has no room for this fault
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

// status changes the status flags of descriptions. Those of O_PATH have none.
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

// buffered hands over what was read before, and reads only when there is nothing left.
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

// filled goes on without waiting: what it can wait for came first.
func filled(s *socket, r peer.Room) (peer.Received, error) {
	all, err := s.recv(r)
	if err != nil {
		return all, err
	}
	for room := len(slices.Concat(r.Buffers...)); all.N < room && all.N > 0; {
		next := peer.Room{Buffers: [][]byte{make([]byte, room-all.N)}, FDs: max(0, r.FDs-len(all.FDs)), Flags: unix.MSG_DONTWAIT}
		got, err := s.recv(next)
		if err != nil || got.N == 0 {
			break // nothing waits
		}
		all.N += got.N
		all.Payload = append(all.Payload, got.Payload...)
		all.FDs = append(all.FDs, got.FDs...)
		all.Flags |= got.Flags
	}
	return all, nil
}
