package interop

import (
	"bufio"
	"context"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// meddlerPeer, in the environment, makes this program the peer of that name in meddlers.
const meddlerPeer = "SCM_MEDDLER_PEER"

// meddlers change what is not theirs to change, before they answer commands or when.
var meddlers = map[string]func(pool []int) (open func(sock int) peer.Socket, use func(fd int)){
	// It keeps what it received at the last number of the pool, which is a later case's,
	// until the case ends.
	"hide": func(pool []int) (func(sock int) peer.Socket, func(fd int)) {
		return func(sock int) peer.Socket { return &hider{adept: adept{sock: sock}, at: pool[len(pool)-1]} }, nil
	},
	// It makes the files that it is given non-blocking, at "use".
	"use": func([]int) (func(sock int) peer.Socket, func(fd int)) {
		return func(sock int) peer.Socket { return adept{sock: sock} }, func(fd int) { _ = unix.SetNonblock(fd, true) }
	},
	// It makes all pipes that it inherits non-blocking, before "hello".
	"start": func(pool []int) (func(sock int) peer.Socket, func(fd int)) {
		for _, n := range pool {
			var st unix.Stat_t
			if unix.Fstat(n, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
				_ = unix.SetNonblock(n, true)
			}
		}
		return func(sock int) peer.Socket { return adept{sock: sock} }, nil
	},
	// It does nothing wrong.
	"none": func([]int) (func(sock int) peer.Socket, func(fd int)) {
		return func(sock int) peer.Socket { return adept{sock: sock} }, nil
	},
	// It sends what it sends to a later case's socket too.
	"park what it sends": func(pool []int) (func(sock int) peer.Socket, func(fd int)) {
		return func(sock int) peer.Socket { return parker{adept{sock: sock}, later(pool, sock)} }, nil
	},
	// It sends what it receives to a later case's socket.
	"park what it receives": func(pool []int) (func(sock int) peer.Socket, func(fd int)) {
		return func(sock int) peer.Socket {
			return adept{sock: sock, received: func(fds []int) { _, _ = raw.Send(later(pool, sock), [][]byte{{0}}, fds, unix.MSG_DONTWAIT) }}
		}, nil
	},
	// It receives before it is told to, and makes what it receives non-blocking.
	"eager": func(pool []int) (func(sock int) peer.Socket, func(fd int)) {
		early := make(chan []int, 1)
		go func() {
			if len(pool) == 0 {
				return // it is only greeted
			}
			if _, fds, _, err := raw.Recv(pool[0], [][]byte{{0}}, 1, 0); err == nil && len(fds) == 1 {
				_ = unix.SetNonblock(fds[0], true)
				early <- fds
			}
		}()
		return func(sock int) peer.Socket { return eager{adept{sock: sock}, early} }, nil
	},
	// It makes what it has received non-blocking when the next message has arrived, after
	// its answer and before the next one.
	"later": func([]int) (func(sock int) peer.Socket, func(fd int)) {
		return func(sock int) peer.Socket {
			taken, changed := make(chan struct{}), make(chan struct{})
			return adept{sock: sock, received: func(fds []int) {
				if len(fds) == 0 {
					close(taken)
					<-changed
					return
				}
				fd := fds[0]
				go func() {
					defer close(changed)
					for waits := true; waits; {
						n, _ := unix.Poll([]unix.PollFd{{Fd: int32(sock), Events: unix.POLLIN}}, 1)
						select {
						case <-taken:
							waits = false
						default:
							waits = n <= 0
						}
					}
					_ = unix.SetNonblock(fd, true)
				}()
			}}
		}, nil
	},
}

// later is the socket of a later case, or -1.
func later(pool []int, sock int) int {
	for _, n := range pool {
		var st unix.Stat_t
		if n > sock && unix.Fstat(n, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			return n
		}
	}
	return -1
}

// parker sends to another socket too.
type parker struct {
	adept
	other int
}

func (h parker) Send(m peer.Message) (int, error) {
	_, _ = raw.Send(h.other, [][]byte{{0}}, m.FDs, unix.MSG_DONTWAIT)
	return h.adept.Send(m)
}

// eager has received a byte 00 and these already.
type eager struct {
	adept
	fds chan []int
}

func (h eager) Recv(peer.Room) (peer.Received, error) {
	return peer.Received{N: 1, Payload: []byte{0}, FDs: <-h.fds}, nil
}

func TestMeddlerPeer(t *testing.T) {
	start, ok := meddlers[os.Getenv(meddlerPeer)]
	if !ok {
		t.Skip("it is for meddler")
	}
	var pool []int
	for n := 3; ; n++ {
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			break
		}
		pool = append(pool, n)
	}
	open, use := start(pool)
	in := io.Reader(os.Stdin)
	if use != nil {
		r, w := io.Pipe()
		in = r
		go func() {
			for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
				if c, err := contract.ParseLine(lines.Text()); err == nil && c.Verb == "use" {
					for _, fd := range c.List("fds") {
						if n, err := strconv.Atoi(fd); err == nil {
							use(n)
						}
					}
				}
				_, _ = io.WriteString(w, lines.Text()+"\n")
			}
			_ = w.Close()
		}()
	}
	_ = peer.Serve(peer.Library{Name: "x", Version: "1", Can: "stream", Open: func(sock int) (peer.Socket, error) { return open(sock), nil }}, in, os.Stdout)
	os.Exit(0)
}

// meddler is one of meddlers.
func meddler(t *testing.T, name string) *scenario.Peer {
	t.Helper()
	p := scenario.Program("x", "/usr/bin/env", meddlerPeer+"="+name, os.Args[0], "-test.run=^TestMeddlerPeer$")
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// hider has what it receives at a number that it was given for a later case.
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

// A leak can be at a number that the peer was given for a later case, and has there again
// what it was given when the case has ended.
func TestLeakAtANumberOfALaterCase(t *testing.T) {
	self, liar := runner(t), meddler(t, "hide")
	settled(t)
	s := mustParse(t, passOne)
	o := Run(context.Background(), []scenario.Case{onStream(s, self, liar), onStream(s, self, liar)}, nil, Options{})
	if len(o.Results) != 2 {
		t.Fatalf("got %+v", o)
	}
	if got := finding(t, o.Results[0]); got != "leak@x: a, as 4, is open, and nobody was told" {
		t.Errorf("got %s", got)
	}
}

// Who changes a file is found, whoever answers next.
func TestChangerIsToBlame(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"use", rule + "on stream\nfiles a=pipe-r b@B=pipe-r\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n",
			"file@x: b has got the status flags 04000 in place of 0"},
		{"start", rule + "on stream\nfiles b@B=pipe-r\nB> send payload=00 fds=b\nB< ok n=1\nA> recv bytes=1 fds=1\nA< ok n=1 payload=00 fds=b\n",
			"file@x: b has got the status flags 04000 in place of 0"},
		{"later", passOne + "A> send payload=01 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0\nB< ok n=1 payload=01 fds=-\n",
			"file@x: a has got the status flags 04000 in place of 0"},
		{"eager", passOne, "file@x: a has got the status flags 04000 in place of 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			self, liar := runner(t), meddler(t, c.name)
			waits := c.name == "later" || c.name == "eager" // in the first case: the others are played with the runner
			other := inside(t, func(sock int) peer.Socket {
				first := waits
				waits = false
				return &patient{adept: adept{sock: sock}, waits: first, atOnce: c.name == "eager"}
			})
			other.Name = "other"
			settled(t)
			s := mustParse(t, c.text)
			o := Run(context.Background(), []scenario.Case{onStream(s, other, liar)}, nil, Options{Runner: self})
			if len(o.Results) != 1 {
				t.Fatalf("got %+v", o)
			}
			if got := finding(t, o.Results[0]); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// patient answers a send without descriptors, or at once any, when the file that it sent
// last is non-blocking, or a long time has passed.
type patient struct {
	adept
	waits, atOnce bool
	file          int
}

func (h *patient) Send(m peer.Message) (int, error) {
	n, err := h.adept.Send(m)
	if len(m.FDs) > 0 {
		h.file = m.FDs[0]
	}
	if len(m.FDs) > 0 && !h.atOnce {
		return n, err
	}
	for i := 0; h.waits && i < 5000; i++ {
		if flags, err := unix.FcntlInt(uintptr(h.file), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return n, err
}

// twister makes what it sends non-blocking, or has it at another offset.
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

// A change is found too where the other side is still to answer, or the runner's side
// answers last, or the runner does something else meanwhile.
func TestChangeBesideOthers(t *testing.T) {
	const (
		waits    = "on stream\nfiles a=file b=file\nB>& recv bytes=1 fds=1\nA> send payload=00 fds=a\nA< ok n=1\n"
		receives = "B<& ok n=1 payload=00 fds=a\n"
	)
	liar := inside(t, func(sock int) peer.Socket { return twister{adept{sock: sock}, false} })
	seeker := inside(t, func(sock int) peer.Socket { return twister{adept{sock: sock}, true} })
	right := inside(t, func(sock int) peer.Socket { return adept{sock: sock} })
	self := runner(t)
	const flags, offset = "file@x: a has got the status flags 04000 in place of 0", "file@x: a is at offset 9 now, and was at 0"
	for _, c := range []struct {
		name string
		a    *scenario.Peer
		text string
		want string
	}{
		{"the other waits", liar, waits + receives, flags},
		{"the runner looks", liar, waits + "R> pending A\n" + receives, flags},
		{"the runner looks, at an offset", seeker, waits + "R> pending A\n" + receives, offset},
		{"the runner sets another offset", seeker, waits + "R> seek b=7\n" + receives, offset},
		{"the runner sets the offset of what has other flags", liar, waits + "R> seek a=7\n" + receives, flags},
		{"the runner's side answers", liar, "play sender\n" + waits + receives, flags},
		{"the runner's side does something else", seeker, "play sender\n" + waits + receives + "B> dup fd=a\nB< ok fd=a:y\n", offset},
		{"the runner's side reads another", seeker, "play sender\n" + waits + receives + "A> send payload=00 fds=b\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=b\n" +
			"B> read fd=b bytes=1\nB< ok n=1 payload=*\n", offset + "\nfile@x: b is at offset 9 now, and was at 0"},
		{"nothing", right, waits + "R> pending A\n" + receives + "R> seek a=7\nA> send payload=01 fds=-\nA< ok n=1\n", ""},
		{"the runner's side changes it", right, "play sender\n" + waits + receives + "B> read fd=a bytes=2\nB< ok n=2 payload=0001\nB> fcntl fd=a set=fl:nonblock\nB< ok\n" +
			"A> send payload=01 fds=-\nA< ok n=1\nB> dup fd=a\nB< ok fd=a:y\nB> lseek fd=y offset=99\nB< ok value=99\nB> recv bytes=1 fds=0\nB< ok n=1 payload=01 fds=-\n", ""},
		{"the runner's side is refused", right, "play sender\n" + waits + receives + "B> read fd=a bytes=2\nB< ok n=2 payload=ffff\n",
			"answer@x: answered \"ok n=2 payload=0001\"\nnot ok n=2 payload=ffff (payload is 0001)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			settled(t)
			o := Run(context.Background(), []scenario.Case{onStream(mustParse(t, rule+c.text), c.a, self)}, nil, Options{})
			got := ""
			for i, f := range o.Results[0].Findings {
				if i > 0 {
					got += "\n"
				}
				got += f.String()
			}
			if got != c.want || c.want == "" && o.Results[0].Verdict != scenario.Pass {
				t.Errorf("got %s (%s)\nwant %s", got, o.Results[0].Why, c.want)
			}
		})
	}
}
