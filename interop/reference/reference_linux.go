package reference

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// Main reads commands from standard input and writes the answers to standard output. It exits at
// end of file.
func Main(name string) {
	// Make all calls on the first thread, because every kernel delivers the runner's signals to
	// that thread.
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() { // another thread runs the main goroutine: start again
		fmt.Fprintln(os.Stderr, unix.Exec("/proc/self/exe", os.Args, os.Environ()))
		os.Exit(1)
	}
	signal.Ignore(unix.SIGPIPE)
	// Catch these signals, because a caught signal interrupts a blocked call that has a timeout.
	signal.Notify(make(chan os.Signal, 1), unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM)
	if err := serve(name, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(name string, in io.Reader, out io.Writer) error {
	return peer.Serve(peer.Library{
		Name:    name,
		Version: "0",
		Can:     "stream,dgram,seqpacket,multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return socket(sock), nil },
		More:    answer,
	}, in, out)
}

// socket sends and receives with raw system calls, without a library that is under test.
type socket int

func (s socket) Send(m peer.Message) (int, error) {
	return raw.Send(int(s), m.Buffers, m.FDs, m.Flags)
}

func (s socket) Recv(r peer.Room) (got peer.Received, err error) {
	n, fds, flags, err := raw.Recv(int(s), r.Buffers, r.FDs, r.Flags)
	if err != nil {
		return got, err
	}
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds, Flags: flags, HasFlags: true}, nil
}

// args contains a call and the peer that makes it.
type args struct {
	*peer.Peer
	contract.Command
}

// A call implements one of the calls in kernel.CallUsages and returns the fields for the answer.
type call func(a *args) (fields string, err error)

// done returns a call whose answer has no fields.
func done(do func(a *args) error) call {
	return func(a *args) (string, error) { return "", do(a) }
}

// opened returns a call whose answer contains a new descriptor.
func opened(do func(a *args) (int, error)) call {
	return func(a *args) (string, error) { return a.held(do(a)) }
}

// answer makes the call that a line describes and returns the answer.
func answer(p *peer.Peer, line string) string {
	command, err := contract.ParseCommand(kernel.Vocabulary, line)
	do, ok := calls[command.Verb]
	switch {
	case !ok:
		return peer.FormatError(peer.ErrUnsupported)
	case err != nil:
		return peer.FormatError(err)
	}
	fields, err := do(&args{p, command})
	switch {
	case err != nil:
		return peer.FormatError(err)
	case fields == "":
		return "ok"
	}
	return "ok " + fields
}

func (a *args) has(key string) bool {
	_, ok := a.Values[key]
	return ok
}

func (a *args) text(key, absent string) string {
	return contract.Get(a.Command, key, absent)
}

func (a *args) integer(key string, absent int) int {
	return contract.Get(a.Command, key, absent)
}

func (a *args) bits(key string, of kernel.Bits) int {
	return of.Sum(contract.Get(a.Command, key, []string(nil))...)
}

// fd returns the descriptor in fd=, a required field of the call.
func (a *args) fd() int { return a.integer("fd", -1) }

// sock returns the socket of the call, which is the socket of the case if sock= is left out.
func (a *args) sock() int { return a.integer("sock", a.Sock()) }

// two returns the descriptors of fds=.
func (a *args) two() (int, int) {
	fds := contract.Get(a.Command, "fds", []int{-1, -1})
	return fds[0], fds[1]
}

// held returns the fields of an answer that contains a new descriptor. The peer closes the
// descriptor after the case.
func (a *args) held(fd int, err error) (string, error) {
	if err != nil {
		return "", err
	}
	a.Hold(fd)
	return fmt.Sprintf("fd=%d", fd), nil
}
