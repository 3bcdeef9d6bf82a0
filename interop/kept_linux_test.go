package interop

import (
	"bufio"
	"context"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/scm-rights/scm/interop/peers/go/peer"
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
}

func TestMeddlerPeer(t *testing.T) {
	make, ok := meddlers[os.Getenv(meddlerPeer)]
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
	open, use := make(pool)
	in := io.Reader(os.Stdin)
	if use != nil {
		r, w := io.Pipe()
		in = r
		go func() {
			lines := bufio.NewScanner(os.Stdin)
			for lines.Scan() {
				if c, err := parseLine(lines.Text()); err == nil && c.verb == "use" {
					for _, fd := range c.list("fds") {
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
func meddler(t *testing.T, name string) *Peer {
	t.Helper()
	p := Program("x", "/usr/bin/env", meddlerPeer+"="+name, os.Args[0], "-test.run=^TestMeddlerPeer$")
	if err := p.Probe(DefaultTimeout); err != nil {
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
	o := Run(context.Background(), []Case{{s, "stream", self, liar}, {s, "stream", self, liar}}, nil, Options{})
	if len(o.Results) != 2 {
		t.Fatalf("got %+v", o)
	}
	if got := finding(t, o.Results[0]); got != "leak@x: a, as 4, is open, and nobody was told" {
		t.Errorf("got %s", got)
	}
}
