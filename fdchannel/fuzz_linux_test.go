package fdchannel_test

import (
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/fdtest"
)

// Each byte of the script is a receive, or a message that the partner sends: the lower three bits are the number of
// its descriptors, and the next four the length of its payload. The queue is the model that the endpoint must agree
// with.
func FuzzEndpoint(f *testing.F) {
	if fdtest.Emulator() != "" {
		f.Skip(fdtest.NotCut)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		socks, err := fdchannel.NewConnectedSockets()
		fdtest.Must(t, err)
		var ledger fdtest.Ledger
		defer ledger.Close()
		ledger.Own(socks[:]...)
		ep := fdchannel.NewEndpoint(socks[1])
		var queue []scm.Message
		for _, op := range script[:min(len(script), 64)] {
			if op < 0x80 {
				m := scm.Message{FDs: slices.Repeat(socks[:1], int(op&7)), Buffers: [][]byte{make([]byte, op>>3)}}
				fdtest.Must(t, scm.Send(socks[0], &m, unix.MSG_DONTWAIT))
				queue = append(queue, m)
				continue
			}
			fd, err := ep.RecvFDNonblock()
			if len(queue) == 0 {
				if fd != -1 || err != unix.EAGAIN {
					t.Fatalf("got %d, %v; no message was sent", fd, err)
				}
				continue
			}
			lost := &scm.TruncatedError{N: queue[0].N, Received: 1, Room: 1, Cause: unix.EMSGSIZE}
			switch sent := len(queue[0].FDs); {
			case sent == 1 && (err != nil || ledger.Owns(fd) || !fdtest.CloseOnExec(fd) || !fdtest.Same(fd, socks[0])),
				sent == 0 && (fd != -1 || err == nil || err == unix.EAGAIN),
				sent > 1 && (fd != -1 || !reflect.DeepEqual(err, lost)):
				t.Fatalf("got %d, %v; %d descriptors were sent", fd, err, sent)
			case sent == 1:
				ledger.Own(fd)
			}
			queue = queue[1:]
		}
		if strays, lost := ledger.Strays(), ledger.Lost(); len(strays)+len(lost) > 0 {
			t.Errorf("leaked %q; closed %q, which the test owns", strays, lost)
		}
	})
}
