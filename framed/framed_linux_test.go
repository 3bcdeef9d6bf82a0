package framed_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// The credentials that SO_PASSCRED asks for do not fit, but the partner sent no descriptor.
func TestCredentialsAreNotReportedAsDescriptors(t *testing.T) {
	a, b := connect(t, scm.Config{})
	fdtest.Must(t, b.PassCred(true))
	r := framed.NewReader(b, framed.Limits{Waiting: -1})
	defer r.Close()
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err := r.Read(make([]byte, 1))
	if want := "scm: message lost descriptors or other control data (0 received, 0 requested): if SO_PASSCRED or SO_PASSPIDFD is set on the socket, turn it off"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("%v wraps EMSGSIZE, want no limit as the reason", err)
	}
}

// The reason is the table, and not a limit of the Reader's.
func TestReadReportsAFullDescriptorTable(t *testing.T) {
	for _, sent := range []int{1, 2, 3} {
		a, b := connect(t, scm.Config{})
		r := framed.NewReader(b, framed.Limits{Waiting: 4})
		if _, err := a.WriteFiles([]byte("x"), open(t, sent)...); err != nil {
			t.Fatal(err)
		}
		var err error
		fdtest.WithFree(sent-1, func() { _, err = r.Read(make([]byte, 1)) })
		var truncated *scm.TruncatedError
		if !errors.As(err, &truncated) || !errors.Is(err, unix.EMFILE) || strings.Contains(err.Error(), "Limits") {
			t.Errorf("%d sent: got %v, want a TruncatedError with EMFILE", sent, err)
		} else if truncated.Received != sent-1 || truncated.Room != 4 || truncated.N != 1 {
			t.Errorf("%d sent: got %+v, want %d received, Room 4 and N 1", sent, truncated, sent-1)
		}
		if _, again := r.Take(0); again != err {
			t.Errorf("Take after the loss: got %v, want %v", again, err)
		}
	}
}

// A socket that is not a stream can lose the descriptors of an empty message, and the end of a long one.
func TestReadReportsWhatASeqpacketSocketLoses(t *testing.T) {
	for _, config := range []scm.Config{{}, {Expect: &scm.Expect{Max: 2, Kind: scm.KindSocket}}} {
		a, b, err := config.Pair("unixpacket")
		fdtest.Must(t, err)
		defer a.Close()
		defer b.Close()
		limit(t, a, b)
		r := framed.NewReader(b, framed.Limits{Waiting: 1})
		fdtest.Must(t, a.Send(&scm.Message{FDs: []int{0, 0}}, 0))
		_, err = r.Read(make([]byte, 1))
		if _, again := r.Take(0); err == nil || again != err {
			t.Errorf("got %v, then %v; want an error, twice", err, again)
		}
		r = framed.NewReader(b, framed.Limits{})
		fdtest.Must(t, a.Send(&scm.Message{Buffers: [][]byte{{1, 2}}}, 0))
		if n, err := r.Read(make([]byte, 1)); n != 1 || !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("got %d, %v; want 1, %v", n, err, io.ErrShortBuffer)
		}
	}
}

// Linux splits a sendmsg of this length, and its first part has the files. The second part arrives with the
// first part of the next message.
func TestTakeUpToFindsTheFilesOfALongMessage(t *testing.T) {
	const length = 40_000
	a, b := connect(t, scm.Config{})
	files, r := open(t, 2), framed.NewReader(b, framed.Limits{})
	defer r.Close()
	in := bufio.NewReaderSize(r, 2*length)
	for n := 1; n <= 2; n++ {
		write(t, a, strings.Repeat("x", length), files[:n]...)
	}
	for n := 1; n <= 2; n++ {
		_, err := in.Discard(length)
		fdtest.Must(t, err)
		if got, err := r.TakeUpTo(r.Offset() - int64(in.Buffered())); err != nil || !same(got, files[:n]) {
			t.Errorf("message %d: got %d files, %v; want %[1]d", n, len(got), err)
		}
	}
}
