//go:build unix

package framed_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// connect returns a connected pair, which is closed at the end of the test. The test fails if it leaves a
// descriptor open.
func connect(t testing.TB, config scm.Config) (a, b *scm.Conn) {
	t.Helper()
	before := fdtest.Take()
	a, b, err := config.Pair("unix")
	fdtest.Must(t, err)
	t.Cleanup(func() {
		_, _ = a.Close(), b.Close()
		if left := before.NewSince(); len(left) > 0 {
			t.Errorf("the test left %v open, want no new descriptor", left)
		}
	})
	limit(t, a, b)
	return a, b
}

// limit gives the next case of a test a minute, however many cases there are.
func limit(t testing.TB, conns ...*scm.Conn) {
	t.Helper()
	for _, c := range conns {
		fdtest.Must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	}
}

// open returns n different files, which are closed at the end of the test.
func open(t testing.TB, n int) (files []*os.File) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/%d", dir, i))
		fdtest.Must(t, err)
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	return files
}

// write sends the payload and the files with a single sendmsg.
func write(t testing.TB, c *scm.Conn, payload string, files ...*os.File) {
	t.Helper()
	_, err := c.WriteFiles([]byte(payload), files...)
	fdtest.Must(t, err)
}

// same reports whether files and others are the same files in the same order. It closes files.
func same(files, others []*os.File) bool {
	same := len(files) == len(others)
	for i, f := range files {
		x, e := f.Stat()
		if same {
			y, err := others[i].Stat()
			same = e == nil && err == nil && os.SameFile(x, y)
		}
		_ = f.Close()
	}
	return same
}

// size is the length of a message in these tests: the number of its descriptors and one more byte.
const size = 2

// readMessage reads a message and takes the descriptors that it announces.
func readMessage(in io.Reader, r *framed.Reader) (files []*os.File, err error) {
	var p [size]byte
	if _, err := io.ReadFull(in, p[:]); err != nil {
		return nil, err
	}
	return r.Take(int(p[0]))
}

func TestReaderReportsAFaultOfThePartnerAndLeavesNoDescriptorOpen(t *testing.T) {
	type kind struct {
		name string
		is   func(error) bool
	}
	is := func(want error) kind { return kind{want.Error(), func(err error) bool { return errors.Is(err, want) }} }
	as := func(want any) kind {
		return kind{fmt.Sprintf("%T", want), func(err error) bool { return errors.As(err, want) }}
	}
	claim, loss, rejected := as(new(*framed.ClaimError)), as(new(*scm.TruncatedError)), as(new(*scm.ExpectError))
	type send struct {
		payload string
		files   int
	}
	for name, c := range map[string]struct {
		sends   []send
		limits  framed.Limits
		config  scm.Config
		good    int // the number of correct messages first
		want    kind
		waiting int
	}{
		"more files than announced":      {sends: []send{{"\x01x", 3}}, good: 1, want: is(io.EOF), waiting: 2},
		"fewer files than announced":     {sends: []send{{"\x02x", 1}}, want: claim, waiting: 1},
		"no file":                        {sends: []send{{"\x01x", 0}}, want: claim},
		"file with the last byte":        {sends: []send{{"\x01", 0}, {"x", 1}, {"\x00x", 0}}, good: 2, want: is(io.EOF)},
		"file with the next message":     {sends: []send{{"\x01x", 0}, {"\x00x", 1}}, want: claim},
		"files that no message claims":   {sends: []send{{"\x00x", 3}, {"\x00x", 3}}, good: 2, want: is(io.EOF), waiting: 6},
		"more files than Limits.Waiting": {sends: []send{{"\x00x", 2}, {"\x00x", 3}}, limits: framed.Limits{Waiting: 4}, good: 1, want: loss},
		"more files than Limits.Waiting, KeepTruncated": {sends: []send{{"\x00x", 2}, {"\x00x", 3}}, limits: framed.Limits{Waiting: 4},
			config: scm.Config{KeepTruncated: true}, good: 1, want: loss},
		"more files than Limits.Message":     {sends: []send{{"\x03x", 3}}, limits: framed.Limits{Message: 2}, want: claim, waiting: 3},
		"connection closed inside a message": {sends: []send{{"\x01x", 1}, {"\x01", 1}}, good: 1, want: is(io.ErrUnexpectedEOF), waiting: 1},
		"connection closed":                  {want: is(io.EOF)},
		"files that Config.Expect rejects": {sends: []send{{"\x01x", 1}},
			config: scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindSocket}}, want: rejected},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := connect(t, c.config)
			files := open(t, 3)
			r := framed.NewReader(b, c.limits)
			for _, s := range c.sends {
				write(t, a, s.payload, files[:s.files]...)
			}
			fdtest.Must(t, a.Close())
			for i := range c.good {
				got, err := readMessage(r, r)
				if err != nil || !same(got, files[:len(got)]) {
					t.Fatalf("message %d: got %d files, %v; want those that were sent", i, len(got), err)
				}
			}
			files, err := readMessage(r, r)
			if !c.want.is(err) || files != nil || r.Waiting() != c.waiting {
				t.Fatalf("got %v, %v and %d descriptors in the queue, want no files, %s and %d",
					files, err, r.Waiting(), c.want.name, c.waiting)
			}
			check := func(when string, want error) {
				n, read := r.Read(make([]byte, 1))
				if _, take := r.Take(0); n != 0 || read != want || take != want {
					t.Errorf("after %s: Read returned %d, %v and Take %v, want 0, %v", when, n, read, take, want)
				}
			}
			want := os.ErrClosed
			if loss.is(err) || rejected.is(err) {
				want = err
				check("the loss", want)
			}
			_ = r.Close()
			check("Close", want)
		})
	}
}

func TestErrorsNameTheLimitThatWasExceeded(t *testing.T) {
	for _, c := range []struct {
		limits  framed.Limits
		perSend int
		want    string
	}{
		{framed.Limits{}, scm.MaxFDs, "framed: more than 506 descriptors are queued (Limits.Waiting)"},
		{framed.Limits{Message: 2}, 200, "framed: more than 255 descriptors are queued (Limits.Waiting)"},
		{framed.Limits{Message: -1}, 200, "framed: more than 253 descriptors are queued (Limits.Waiting)"},
		{framed.Limits{Waiting: 300}, 200, "framed: more than 300 descriptors are queued (Limits.Waiting)"},
		{framed.Limits{Waiting: 2}, 3, "framed: more than 2 descriptors are queued (Limits.Waiting)"},
		{framed.Limits{Waiting: -1}, 1, "framed: more than 0 descriptors are queued (Limits.Waiting)"},
	} {
		a, b := connect(t, scm.Config{})
		r := framed.NewReader(b, c.limits)
		file := open(t, 1)[0]
		var err error
		for sent := 0; sent < 640 && err == nil; sent += c.perSend {
			write(t, a, "x", slices.Repeat([]*os.File{file}, c.perSend)...)
			_, err = r.Read(make([]byte, 1))
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		var truncated *scm.TruncatedError
		if !errors.As(err, &truncated) || !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("got %v, want a TruncatedError and EMSGSIZE", err)
		}
		if _, again := r.Take(0); again != err {
			t.Errorf("Take: got %v, want %v", again, err)
		}
		if r.Waiting() != 0 {
			t.Errorf("%d descriptors in the queue, want 0", r.Waiting())
		}
	}

	a, b := connect(t, scm.Config{})
	r := framed.NewReader(b, framed.Limits{Message: 2})
	write(t, a, "x", open(t, 1)...)
	_, err := r.Read(make([]byte, 1))
	fdtest.Must(t, err)
	for n, want := range map[int]string{
		-1: "framed: invalid number of descriptors: -1",
		2:  "framed: message claims 2 descriptors, but the queue has only 1",
		3:  "framed: message claims 3 descriptors, but Limits.Message allows only 2",
	} {
		if _, err := r.Take(n); err == nil || err.Error() != want {
			t.Errorf("Take(%d): got %v, want %s", n, err, want)
		}
	}
	_ = r.Close()
}

// The Reader reads ahead: the receive that completes the first message also returns the descriptors of the second.
func TestDefaultLimitsAcceptFullMessagesThatFollowEachOther(t *testing.T) {
	for _, limits := range []framed.Limits{{}, {Message: math.MaxInt}} {
		a, b := connect(t, scm.Config{})
		files := slices.Repeat(open(t, 1), scm.MaxFDs)
		for range 2 {
			write(t, a, string([]byte{scm.MaxFDs}), files...)
			write(t, a, "x")
		}
		r := framed.NewReader(b, limits)
		defer r.Close()
		in := bufio.NewReader(r)
		for i := range 2 {
			if got, err := readMessage(in, r); err != nil || !same(got, files) {
				t.Errorf("%+v, message %d: got %d files, %v; want the %d sent", limits, i, len(got), err, len(files))
			}
		}
	}
}

// Another goroutine calls Close while a Read waits for bytes, which then arrive with descriptors.
func TestCloseLeavesNoDescriptorOpenDuringARead(t *testing.T) {
	a, b := connect(t, scm.Config{})
	files, r := open(t, 2), framed.NewReader(b, framed.Limits{})
	write(t, a, "x", files...)
	_, err := r.Read(make([]byte, 1))
	fdtest.Must(t, err)
	done := make(chan string, 1)
	go func() { done <- fmt.Sprint(r.Read(make([]byte, 1))) }()
	for stacks := make([]byte, 1<<20); len(done) == 0; runtime.Gosched() {
		if bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(".(*Reader).receive(")) {
			break // Read has already found that the Reader is not closed
		}
	}
	if fdtest.Must(t, r.Close()); r.Waiting() != 0 {
		t.Errorf("Close left %d descriptors in the queue, want 0", r.Waiting())
	}
	write(t, a, "x", files...)
	if got, want := <-done, fmt.Sprint(1, os.ErrClosed); got != want || r.Waiting() != 0 {
		t.Errorf("Read returned %q and left %d descriptors in the queue, want %q and 0", got, r.Waiting(), want)
	}
}

// The first Write sends only part of the payload, because nothing else is read until its deadline has passed.
func TestWriterSendsTheAttachedFilesOnce(t *testing.T) {
	a, b := connect(t, scm.Config{})
	files := open(t, 2)
	w, r := framed.NewWriter(a), framed.NewReader(b, framed.Limits{})
	defer r.Close()
	fdtest.Must(t, errors.Join(w.Attach(files...), a.SetWriteBuffer(1<<12)))
	payload, sent, done := append([]byte("\x02x"), make([]byte, 1<<19)...), 0, make(chan error, 1)
	write := func() {
		n, err := w.Write(payload[sent:])
		sent += n
		done <- err
	}
	go write()
	if got, err := readMessage(r, r); err != nil || !same(got, files) {
		t.Fatalf("got %d files, %v; want the 2 attached", len(got), err)
	}
	fdtest.Must(t, a.SetWriteDeadline(time.Unix(1, 0)))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || sent < size || sent == len(payload) {
		t.Fatalf("the first Write sent %d of %d bytes, %v; want a part of them and a timeout", sent, len(payload), err)
	}
	limit(t, a)
	go write()
	_, err := io.CopyN(io.Discard, r, int64(len(payload)-size))
	if err = errors.Join(err, <-done); err != nil || r.Waiting() != 0 {
		t.Errorf("the rest was sent with %d descriptors, %v; want 0 and no error", r.Waiting(), err)
	}
}

func TestWriterSendsSockets(t *testing.T) {
	a, b := connect(t, scm.Config{})
	w, r := framed.NewWriter(a), framed.NewReader(b, framed.Limits{})
	defer r.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fdtest.Must(t, err)
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	fdtest.Must(t, err)
	defer dialed.Close()
	listener, conn, file := l.(*net.TCPListener), dialed.(*net.TCPConn), open(t, 1)[0]

	for _, socket := range []syscall.Conn{nil, (*net.TCPConn)(nil), (*os.File)(nil), &scm.Conn{}, &scm.Listener{}} {
		if err := w.AttachSockets(listener, socket); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%T: got %v, want %v", socket, err, os.ErrInvalid)
		}
	}
	if err := w.AttachSockets(slices.Repeat([]syscall.Conn{listener}, scm.MaxFDs+1)...); !errors.Is(err, scm.ErrTooManyFDs) {
		t.Errorf("too many: got %v, want %v", err, scm.ErrTooManyFDs)
	}
	fdtest.Must(t, errors.Join(w.AttachSockets(listener, conn), w.Attach(file)))
	// A Write that sends nothing keeps them attached.
	_ = a.SetWriteDeadline(time.Now().Add(-time.Second))
	if n, err := w.Write([]byte("\x03x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d, %v; want 0 and a timeout", n, err)
	}
	_ = a.SetWriteDeadline(time.Time{})
	for _, p := range []string{"\x03x", "\x00x"} {
		_, err := w.Write([]byte(p))
		fdtest.Must(t, err)
	}
	got, err := readMessage(r, r)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %d files, %v; want 3", len(got), err)
	}
	for i, sent := range []syscall.Conn{listener, conn, file} {
		raw, err := sent.SyscallConn()
		fdtest.Must(t, err)
		fdtest.Must(t, raw.Control(func(fd uintptr) {
			flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
			if same := fdtest.Same(int(fd), int(got[i].Fd())); !same || err != nil || sent != file && flags&unix.O_NONBLOCK == 0 {
				t.Errorf("%T: the same: %v, flags %#x, %v; want true and O_NONBLOCK", sent, same, flags, err)
			}
		}))
		_ = got[i].Close()
	}
	if _, err := readMessage(r, r); err != nil || r.Waiting() != 0 {
		t.Errorf("the next message has %d files, %v; want 0", r.Waiting(), err)
	}
	fdtest.Must(t, w.AttachSockets(conn))
	_ = conn.Close()
	if n, err := w.Write([]byte("\x01x")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed connection: got %d, %v; want 0, %v", n, err, os.ErrClosed)
	}
}

// Each byte of the script is an action of the partner or of the protocol. The queue is the model that the
// Reader must agree with.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0x13, 0x81, 0xc1, 0x22})
	f.Add([]byte{0x33, 0x33, 0x33, 0x84, 0xff})
	f.Add([]byte{0x09, 0x12, 0x81, 0xe0, 0x82, 0xe1, 0xe0, 0x01, 0x19, 0x87, 0xe0})
	f.Add([]byte{0x30, 0x30, 0x38, 0x38, 0x58, 0x9b, 0x9b, 0x9b, 0x9b, 0x9b}) // more than Limits.Waiting
	f.Fuzz(func(t *testing.T, script []byte) {
		a, b := connect(t, scm.Config{})
		files := open(t, 4)
		var ledger fdtest.Ledger
		ledger.Own(0, 1, 2)
		for _, f := range files {
			ledger.Own(int(f.Fd()))
		}
		r := framed.NewReader(b, framed.Limits{Message: 4, Waiting: 8})
		defer func() {
			_ = r.Close()
			if lost := ledger.Lost(); len(lost) > 0 {
				t.Errorf("closed %q, which the test owns", lost)
			}
		}()
		var queue []*os.File // received and not taken
		var owners []int     // the offset of the byte that owns each file of the queue
		offset := 0
		type piece struct {
			bytes int
			files []*os.File
		}
		var flying []piece
		broken := false
		for _, op := range script[:min(len(script), 100)] {
			n := int(op & 7)
			switch op >> 6 {
			case 0, 1: // the partner sends n+1 bytes and up to 4 files
				p := piece{n + 1, files[:int(op>>3&7)%5]}
				write(t, a, string(make([]byte, p.bytes)), p.files...)
				flying = append(flying, p)
			case 2: // the protocol reads up to n+1 bytes
				total := 0
				for _, p := range flying {
					total += p.bytes
				}
				if total == 0 || broken {
					continue
				}
				got, err := r.Read(make([]byte, n+1))
				owner := offset // of the first byte received
				if runtime.GOOS == "linux" {
					owner += got - 1 // of the last one
				}
				offset += got
				for left := got; left > 0; {
					if flying[0].files != nil {
						owners = append(owners, slices.Repeat([]int{owner}, len(flying[0].files))...)
						queue, flying[0].files = append(queue, flying[0].files...), nil
					}
					take := min(left, flying[0].bytes)
					left -= take
					if flying[0].bytes -= take; flying[0].bytes == 0 {
						flying = flying[1:]
					}
				}
				if broken = len(queue) > 8; broken != (err != nil) {
					t.Fatalf("%d descriptors for a queue of 8: %v", len(queue), err)
				}
			default: // the protocol takes n files, or those up to n bytes before the end
				take := func() ([]*os.File, error) { return r.Take(n) }
				if op>>5&1 == 1 {
					end := offset - n
					take = func() ([]*os.File, error) { return r.TakeUpTo(int64(end)) }
					for n = 0; n < len(queue) && owners[n] < end; n++ {
					}
				}
				got, err := take()
				if want := !broken && n <= 4 && n <= len(queue); want != (err == nil) || want && !same(got, queue[:n]) {
					t.Fatalf("took %d of %d: %v, %v", n, len(queue), got, err)
				} else if want {
					queue, owners = queue[n:], owners[n:]
				}
			}
			if !broken && r.Waiting() != len(queue) || broken && r.Waiting() != 0 {
				t.Fatalf("%d descriptors in the queue, want %d", r.Waiting(), len(queue))
			}
			if r.Offset() != int64(offset) {
				t.Fatalf("offset %d, want %d", r.Offset(), offset)
			}
		}
	})
}

func ExampleReader() {
	a, b, err := scm.Pair("unix")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	defer b.Close()

	// A message is a line that begins with the number of its files.
	w := framed.NewWriter(a)
	_ = w.Attach(os.Stdin, os.Stdout) // two files are within the limit
	if _, err := w.Write([]byte("2 files\n0 files\n")); err != nil {
		fmt.Println(err)
		return
	}

	r := framed.NewReader(b, framed.Limits{Message: 4})
	defer r.Close()
	in := bufio.NewReader(r)
	for range 2 {
		line, err := in.ReadString('\n')
		if err != nil {
			fmt.Println(err)
			return
		}
		files, err := r.Take(int(line[0] - '0'))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q with %d\n", line, len(files))
		for _, f := range files {
			_ = f.Close()
		}
	}
	// Output:
	// "2 files\n" with 2
	// "0 files\n" with 0
}
