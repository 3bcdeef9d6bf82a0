//go:build linux

package pure_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
	"golang.org/x/sys/unix"
)

// received appends a control message to a buffer, as the kernel does. Negative values are errnos.
func received(buf []byte, kind int32, values ...int) []byte {
	b := make([]byte, unix.CmsgSpace(4*len(values)))
	h := unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: kind}
	h.SetLen(unix.CmsgLen(4 * len(values)))
	n, err := binary.Encode(b, binary.NativeEndian, h)
	if err != nil || n != unix.SizeofCmsghdr {
		panic(fmt.Sprint(n, err))
	}
	for i, v := range values {
		binary.NativeEndian.PutUint32(b[unix.CmsgLen(4*i):], uint32(int32(v)))
	}
	return append(buf, b...)
}

// open returns n new descriptors. Those with a bit in rejected are -EPERM instead, as the kernel reports a
// descriptor that a security module rejected (SO_RIGHTS_NOTRUNC).
func open(t *testing.T, n, rejected int) (fds []int) {
	t.Helper()
	for i := range n {
		fd := -int(unix.EPERM)
		if rejected>>i&1 == 0 {
			var err error
			if fd, err = unix.Dup(0); err != nil {
				t.Fatalf("duplicate %d of %d: %v", i, n, err)
			}
		}
		fds = append(fds, fd)
	}
	return fds
}

// areOpen checks that of the descriptors sent, the first n are open and all others are closed, and closes the first n.
// The runtime can open another file with the number of one that was closed.
func areOpen(t *testing.T, sent []int, n int) {
	t.Helper()
	for i, fd := range sent {
		if fd >= 0 && fdtest.Same(fd, 0) != (i < n) {
			t.Errorf("descriptor %d of %v is open: %t", i, sent, i >= n)
		}
		if fd >= 0 && i < n {
			_ = unix.Close(fd)
		}
	}
}

// A receive returns the descriptors that precede the first rejected one, so that each has the index that
// the sender gave it, and closes those that follow.
func TestRejectedDescriptors(t *testing.T) {
	const n = 4
	for rejected := range 1 << n {
		for room := range n + 2 {
			sent := open(t, n, rejected)
			m := msg.Message{FDs: slices.Repeat([]int{-7}, room)}
			pure.TakeControl(received(nil, unix.SCM_RIGHTS, sent...), &m)
			kept := 0
			for kept < min(n, room) && sent[kept] >= 0 {
				kept++
			}
			if m.NFD != kept || !slices.Equal(m.FDs[:m.NFD], sent[:kept]) {
				t.Errorf("%v with a capacity of %d: got %v, want %v", sent, room, m.FDs[:m.NFD], sent[:kept])
			}
			if truncated := m.Flags&unix.MSG_CTRUNC != 0; truncated != (kept < n) {
				t.Errorf("%v with a capacity of %d: MSG_CTRUNC is set: %t", sent, room, truncated)
			}
			areOpen(t, sent, kept)
		}
	}
}

// A pidfd that follows rejected descriptors is returned, and an errno in its place is not a rejected
// descriptor.
func TestRejectedDescriptorsBeforePidfd(t *testing.T) {
	for _, valid := range []bool{true, false} {
		sent := open(t, 3, 1<<1)
		want, value := -1, -int(unix.ESRCH)
		if valid {
			value = open(t, 1, 0)[0]
			want = value
		}
		pidfd := -1
		m := msg.Message{FDs: make([]int, 3), PIDFD: &pidfd}
		pure.TakeControl(received(received(nil, unix.SCM_RIGHTS, sent...), unix.SCM_PIDFD, value), &m)
		if m.NFD != 1 || m.FDs[0] != sent[0] || pidfd != want {
			t.Errorf("got %v and pidfd %d, want %v and %d", m.FDs[:m.NFD], pidfd, sent[:1], want)
		}
		areOpen(t, sent, 1)
		if valid {
			areOpen(t, []int{value}, 1)
		}
	}
}

// ReadFD reports a loss, and closes all, if one of the descriptors was rejected.
func TestRejectedPair(t *testing.T) {
	for n := 1; n <= 2; n++ {
		for rejected := 1; rejected < 1<<n; rejected++ {
			sent := open(t, n, rejected)
			m := msg.Message{FDs: make([]int, 1)}
			pure.TakeControl(received(nil, unix.SCM_RIGHTS, sent...), &m)
			if fd := pure.PairFD(&m); fd != pure.FDLost {
				t.Errorf("%v: got %d, want FDLost", sent, fd)
			}
			areOpen(t, sent, 0)
		}
	}
}
