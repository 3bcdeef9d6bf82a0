//go:build linux

package peer

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

// TestFullTable starts itself as a peer, which must survive a full descriptor table at its first timer.
func TestFullTable(t *testing.T) {
	if os.Getenv("SCM_FULL_TABLE") != "" {
		end := Library{More: func(*Peer, string) string {
			_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3})
			time.AfterFunc(0, func() { os.Exit(3) })
			time.Sleep(time.Hour)
			return ""
		}}
		t.Fatal(Serve(end, strings.NewReader("anything\n"), io.Discard))
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullTable$")
	cmd.Env = append(os.Environ(), "SCM_FULL_TABLE=yes")
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the peer ended: %v\n%s", cmd.ProcessState, out)
	}
}

// view is a library that records what it sends, and receives duplicates of descriptor 0.
type view struct {
	sent  []Message
	rooms []Room
	done  bool
}

func (v *view) Send(m Message) (int, error) {
	v.sent = append(v.sent, m)
	return len(m.Buffers[0]), nil
}

func (v *view) Recv(r Room) (Received, error) {
	v.rooms = append(v.rooms, r)
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	return Received{N: 1, Payload: r.Filled(1), FDs: []int{fd}}, err
}

func (v *view) Done() { v.done = true }

// startPeer starts a peer. say sends a line to it and returns the answer. hangUp ends its input and
// returns the error of Serve.
func startPeer(t *testing.T, lib Library) (say func(string) string, hangUp func() error) {
	in, commands := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Serve(lib, in, out)
		_ = in.CloseWithError(io.ErrClosedPipe)
		_ = out.Close()
		done <- err
	}()
	r := bufio.NewReader(answers)
	say = func(line string) string {
		t.Helper()
		if _, err := io.WriteString(commands, line+"\n"); err != nil {
			return ""
		}
		answer, err := r.ReadString('\n')
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(answer, "\n")
	}
	hangUp = func() error {
		_ = commands.Close()
		return <-done
	}
	return say, hangUp
}

func null(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func expect(t *testing.T, say func(string) string, line, want string) {
	t.Helper()
	if got := say(line); got != want {
		t.Fatalf("%s: got %q, want %q", line, got, want)
	}
}

func TestAnswers(t *testing.T) {
	v := &view{}
	opened := 0
	say, hangUp := startPeer(t, Library{Name: "view", Version: "1", Can: "stream", Open: func(int) (Socket, error) {
		opened++
		return v, nil
	}})
	sock, file, second := null(t), null(t), null(t)

	expect(t, say, "hello", "ok name=view lang=go version=1 can=stream")
	expect(t, say, "send payload=00 fds=-", "unsupported")
	expect(t, say, fmt.Sprintf("use sock=%d fds=%d", sock, file), "ok")
	if opened != 0 {
		t.Fatal("opened before the first message")
	}
	expect(t, say, "send payload=0000 fds=3,4", "unsupported")
	expect(t, say, "send payload=00,00 fds=3", "unsupported")
	expect(t, say, "send payload=00 fds=3 flags=eor", "unsupported")
	expect(t, say, "recv bytes=1,1 fds=1", "unsupported")
	expect(t, say, "recv bytes=1 fds=2", "unsupported")
	expect(t, say, "recv bytes=1 fds=1 flags=peek", "unsupported")
	expect(t, say, "send payload=6869 fds=-1", "ok n=2")
	if opened != 1 || len(v.sent) != 1 {
		t.Fatalf("opened %d times, sent %v", opened, v.sent)
	}

	received := func() int {
		t.Helper()
		var fd int
		if _, err := fmt.Sscanf(say("recv bytes=1 fds=1"), "ok n=1 payload=00 fds=%d", &fd); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	got := received()
	expect(t, say, fmt.Sprintf("close fds=%d,%d", got, second), "unsupported")
	if !fdtest.IsOpen(got) {
		t.Fatal("close closed a descriptor of a list with one that is not the peer's")
	}
	expect(t, say, fmt.Sprintf("close fds=%d", got), "ok")
	if fdtest.IsOpen(got) || !fdtest.IsOpen(file) {
		t.Fatal("close did not close its descriptor, or closed another one")
	}
	expect(t, say, fmt.Sprintf("close fds=%d", got), "unsupported")

	got = received()
	expect(t, say, fmt.Sprintf("use sock=%d", second), "ok")
	if fdtest.IsOpen(got) || fdtest.IsOpen(sock) || fdtest.IsOpen(file) || !fdtest.IsOpen(second) || !v.done {
		t.Fatal("use did not close the descriptors of the last case")
	}
	got = received()
	expect(t, say, "end", "ok")
	if fdtest.IsOpen(got) || fdtest.IsOpen(second) {
		t.Fatal("end did not close all descriptors")
	}
	expect(t, say, "recv bytes=1 fds=1", "unsupported")
	expect(t, say, "flurb", "unsupported")
	if err := hangUp(); err != nil {
		t.Fatal(err)
	}
}

// quitter is a library that closes its socket when a call fails.
type quitter struct {
	view
	sock int
	err  error
}

func (q *quitter) Send(Message) (int, error) {
	if q.err != ErrUnsupported {
		_ = unix.Close(q.sock)
	}
	return 0, q.err
}

// After a failed call of a library that closes its socket, the peer does not close that descriptor,
// because it may already refer to another file.
func TestSocketClosedByTheLibrary(t *testing.T) {
	for _, c := range []struct {
		closes bool
		err    error
		open   bool // whether another file that has the descriptor is still open at the end
	}{
		{true, unix.EIO, true},
		{true, ErrUnsupported, false},
		{false, unix.EIO, false},
	} {
		sock := null(t)
		q := &quitter{sock: sock, err: c.err}
		say, hangUp := startPeer(t, Library{Name: "x", Version: "1", Can: "stream", Closes: c.closes, Open: func(int) (Socket, error) { return q, nil }})
		want := "ok name=x lang=go version=1 can=stream"
		if c.closes {
			want += " closes=yes"
		}
		expect(t, say, "hello", want)
		expect(t, say, fmt.Sprintf("use sock=%d", sock), "ok")
		expect(t, say, "send payload=00 fds=-", FormatError(c.err))
		other := null(t)
		if c.err == unix.EIO && other != sock {
			t.Fatalf("the other file is %d, not %d", other, sock)
		}
		if c.open {
			expect(t, say, "send payload=00 fds=-", "unsupported")
			expect(t, say, fmt.Sprintf("close fds=%d", sock), "unsupported")
		}
		expect(t, say, "end", "ok")
		if fdtest.IsOpen(sock) != c.open || !q.done {
			t.Errorf("closes=%v, %v: open=%v, done=%v", c.closes, c.err, fdtest.IsOpen(sock), q.done)
		}
		if err := hangUp(); err != nil {
			t.Errorf("closes=%v, %v: at the end: %v", c.closes, c.err, err)
		}
		_ = unix.Close(other)
	}
}

func TestFlagsOfCommands(t *testing.T) {
	v := &view{}
	say, hangUp := startPeer(t, Library{Can: "flags", Open: func(int) (Socket, error) { return v, nil }})
	expect(t, say, fmt.Sprintf("use sock=%d", null(t)), "ok")
	expect(t, say, "send payload=00 fds=- flags=dontwait,nosignal,eor,oob,more", "ok n=1")
	if want := unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL | unix.MSG_EOR | unix.MSG_OOB | unix.MSG_MORE; len(v.sent) != 1 || v.sent[0].Flags != want {
		t.Errorf("sent %+v, want the flags %#x", v.sent, want)
	}
	say("recv bytes=1 fds=0 flags=dontwait,peek,trunc,waitall,oob")
	if want := unix.MSG_DONTWAIT | unix.MSG_PEEK | unix.MSG_TRUNC | unix.MSG_WAITALL | unix.MSG_OOB; len(v.rooms) != 1 || v.rooms[0].Flags != want {
		t.Errorf("received %+v, want the flags %#x", v.rooms, want)
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// The fields of a command can have any order, and the pattern continues from one buffer to the next.
func TestBuffersOfCommands(t *testing.T) {
	v := &view{}
	say, hangUp := startPeer(t, Library{Can: "iov,flags", Open: func(int) (Socket, error) { return v, nil }})
	expect(t, say, fmt.Sprintf("use fds=- sock=%d", null(t)), "ok")
	expect(t, say, "send flags=- payload=@2,-,09,@2 at=250 fds=-", "ok n=2")
	if want := [][]byte{{250, 0}, {}, {9}, {2, 3}}; len(v.sent) != 1 || !reflect.DeepEqual(v.sent[0].Buffers, want) {
		t.Errorf("sent %v, want %v", v.sent, want)
	}
	say("recv fds=0 bytes=2,0,1")
	if len(v.rooms) != 1 || len(v.rooms[0].Buffers) != 3 || len(v.rooms[0].Filled(9)) != 3 {
		t.Errorf("received into %v", v.rooms)
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// Package peertest gives the template malformed commands without flags or several buffers.
func TestMalformed(t *testing.T) {
	v := &view{}
	say, hangUp := startPeer(t, Library{Can: "multi,iov,flags", Open: func(int) (Socket, error) { return v, nil }})
	sock := null(t)
	expect(t, say, fmt.Sprintf("use sock=%d", sock), "ok")
	for _, line := range []string{
		"send payload=00, fds=-", "send payload=00,0 fds=-", "send payload=@67108864,00 fds=-", "send payload=00 fds=- flags=", "send payload=00 fds=- flags=peek",
		"send payload=00 fds=- flags=eor,", "send payload=00 fds=- flags=- flags=-", "send payload=00 fds=- flags", "send payload=00 fds=x flags=-",
		"recv bytes=- fds=0", "recv bytes=1, fds=0", "recv bytes=67108864,1 fds=0", "recv bytes=1 fds=0 flags=eor", "recv bytes=1 fds=- flags=-", "recv bytes=1 fds=0 at=x flags=-",
		"hello flags=-", "use sock=0 flags=-", "close fds=0 flags=-", "end flags=-",
	} {
		expect(t, say, line, "unsupported")
	}
	if len(v.sent)+len(v.rooms) > 0 || !fdtest.IsOpen(sock) {
		t.Errorf("sent %v, received %v, open=%v", v.sent, v.rooms, fdtest.IsOpen(sock))
	}
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// More receives the lines that have no command of the contract, as they are, and no other lines.
func TestMore(t *testing.T) {
	sock := null(t)
	say, hangUp := startPeer(t, Library{More: func(p *Peer, line string) string {
		return fmt.Sprintf("ok sock=%d line=%s", p.Sock(), line)
	}})
	expect(t, say, fmt.Sprintf("use sock=%d", sock), "ok")
	expect(t, say, "dup fd=3  x", fmt.Sprintf("ok sock=%d line=dup fd=3  x", sock))
	expect(t, say, "", fmt.Sprintf("ok sock=%d line=", sock))
	expect(t, say, "close fds=x", "unsupported")
	expect(t, say, "end now", "unsupported")
	expect(t, say, "end", "ok")
	if err := hangUp(); err != nil {
		t.Error(err)
	}
}

// At the end of input, a peer closes its descriptors and no others.
func TestLibraries(t *testing.T) {
	foreign := null(t)
	defer unix.Close(foreign)
	works := func(int) (Socket, error) { return &view{}, nil }
	for line, c := range map[string]struct {
		lib  Library
		want string
	}{
		"send payload=00 fds=-":               {Library{Open: func(int) (Socket, error) { return nil, unix.ENOTSOCK }}, "err 88"},
		"recv bytes=1 fds=9":                  {Library{Room: "*,1", Open: works}, "ok n=1 payload=00 fds="},
		"recv bytes=1 fds=2":                  {Library{Open: works}, "unsupported"},
		strings.Repeat("x", contract.MaxLine): {Library{}, "unsupported"},
	} {
		say, hangUp := startPeer(t, c.lib)
		sock := null(t)
		expect(t, say, fmt.Sprintf("use sock=%d", sock), "ok")
		if got := say(line); !strings.HasPrefix(got, c.want) {
			t.Errorf("%.80s: got %s, want %s", line, got, c.want)
		}
		if err := hangUp(); err != nil || fdtest.IsOpen(sock) || !fdtest.IsOpen(foreign) {
			t.Errorf("%.80s: %v, or it did not close its descriptors, or closed others", line, err)
		}
	}
	say, hangUp := startPeer(t, Library{})
	expect(t, say, strings.Repeat("x", contract.MaxLine+1), "")
	if err := hangUp(); err == nil {
		t.Error("Serve accepts a line that is too long")
	}
}
