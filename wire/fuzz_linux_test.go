package wire_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/wire"
)

// A partner sends the payload in pieces, with up to 20 descriptors, and closes the connection if ends is true. Each
// byte of cuts is a piece: its lower four bits are the length, and the upper four the number of descriptors. The last
// piece is the rest of the payload.
func FuzzRecv(f *testing.F) {
	if fdtest.Emulator() != "" {
		f.Skip(fdtest.NotCut)
	}
	const maxPayload = 5000 // the longest text of most formats is shorter
	for _, m := range slices.Concat(golden, alsoReceived, beginnings) {
		if len(m.payload) <= maxPayload {
			cut := byte(min(m.fds, 15)<<4 | min(len(m.payload), 15))
			f.Add(byte(slices.Index(wire.Formats(), m.format)), []byte(m.payload), []byte{cut}, true)
		}
	}
	f.Fuzz(func(t *testing.T, index byte, payload, cuts []byte, ends bool) {
		format := wire.Formats()[int(index)%len(wire.Formats())]
		var pipe [2]int
		a, b, err := sys.Pair(format.Network())
		fdtest.Must(t, errors.Join(err, unix.Pipe2(pipe[:], unix.O_CLOEXEC), unix.SetNonblock(a, true), unix.SetNonblock(b, true)))
		var ledger fdtest.Ledger
		defer ledger.Close()
		ledger.Own(a, b, pipe[0], pipe[1])

		payload = payload[:min(len(payload), maxPayload)]
		left := 20
		send := func(size, fds int) {
			m := scm.Message{Buffers: [][]byte{payload[:size]}, FDs: slices.Repeat(pipe[:1], fds)}
			if err := scm.Send(a, &m, 0); err != nil && !errors.Is(err, unix.EAGAIN) { // the buffer may be full
				t.Fatal(err)
			}
			payload, left = payload[size:], left-fds
		}
		for _, cut := range cuts[:min(len(cuts), 32)] {
			send(min(int(cut&0xf), len(payload)), min(int(cut>>4), left))
		}
		send(len(payload), 0)
		if ends {
			ledger.CloseNow(a)
		}

		for more := true; more; {
			text, fds, err := format.Recv(wire.FD(b))
			left += len(fds)
			for _, fd := range fds {
				if left > 20 || ledger.Owns(fd) || !fdtest.CloseOnExec(fd) || !fdtest.Same(fd, pipe[0]) {
					t.Fatalf("%d is not a new, close-on-exec descriptor of the file that was sent", fd)
				}
				ledger.Own(fd)
			}
			rejected := errors.As(err, new(*wire.FormatError)) || errors.As(err, new(*wire.APUEError))
			more = err == nil || rejected
			switch {
			case err == nil, err == io.EOF:
			case text != "", len(fds) > 0, !strings.HasPrefix(err.Error(), "wire: "+format.Name()+": "):
				t.Fatalf("got %q, %d descriptors and %v", text, len(fds), err)
			case !rejected && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, io.ErrUnexpectedEOF):
				t.Fatalf("an error of another kind: %v", err)
			}
		}
		if strays, lost := ledger.Strays(), ledger.Lost(); len(strays)+len(lost) > 0 {
			t.Errorf("leaked %q; closed %q, which the test owns", strays, lost)
		}
	})
}
