//go:build linux

package pure_test

import (
	"bytes"
	"testing"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
	"golang.org/x/sys/unix"
)

// A control buffer has every byte that x/sys makes. proof/golden compares it with the buffer that csrc makes.
func TestControl(t *testing.T) {
	for n := range msg.MaxFDs + 1 {
		for kind := range 8 {
			m := msg.Message{FDs: make([]int, n), Unpadded: kind&1 != 0}
			var want []byte
			last, room := 4*n, 0
			if n > 0 {
				want, room = unix.UnixRights(m.FDs...), unix.CmsgLen(last)
			}
			if kind&4 != 0 {
				m.PIDFD, room = new(int), len(want)+unix.CmsgSpace(4)
			}
			if kind&2 != 0 {
				m.Cred = &msg.Cred{PID: 0x11223344, UID: 0x55667788, GID: 0x99aabbcc}
				cred := unix.UnixCredentials(&unix.Ucred{Pid: 0x11223344, Uid: 0x55667788, Gid: 0x99aabbcc})
				want, last, room = append(want, cred...), unix.SizeofUcred, room+len(cred)
			}
			if m.Unpadded {
				want = want[:len(want)-unix.CmsgSpace(last)+unix.CmsgLen(last)]
			}
			buf := make([]byte, 4096)
			if got := buf[:pure.PutControl(buf, &m)]; !bytes.Equal(got, want) {
				t.Fatalf("%d descriptors, kind %d: sends %x, want %x", n, kind, got, want)
			}
			if got := pure.ControlRoom(&m); got != room {
				t.Fatalf("%d descriptors, kind %d: a receive has space for %d bytes, want %d", n, kind, got, room)
			}
		}
	}
}
