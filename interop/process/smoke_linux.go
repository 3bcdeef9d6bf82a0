package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// nonsense lists commands that no peer supports, and what is wrong with each. A peer that answers anything other than
// "unsupported" to one of these commands would also give wrong answers in scenarios.
var nonsense = [][2]string{
	{"levitate height=3", "an unknown command"},
	{"send payload=00 fds=- flags=sideways", "an unknown flag"},
	{"send payload=0g fds=-", "a payload that is not hexadecimal"},
	{"recv bytes=1 fds=0 color=red", "an unknown field"},
	{"recv bytes=+1 fds=0", "an integer that begins with +"},
	{"recv bytes=1 fds=0 flags=sideways", "an unknown flag"},
	{"close fds=9999", "a descriptor that the peer does not hold"},
}

// Smoke tests the peer itself rather than its library. The peer must start, answer the commands that neither send
// nor receive, know the payload pattern, answer "unsupported" to unknown commands, and exit at the end of its
// input.
func Smoke(ctx context.Context, p *scenario.Peer, timeout time.Duration) error {
	pool, err := newTestPool(slices.Concat(socketTypes, socketTypes, socketTypes)...)
	defer pool.close()
	if err != nil {
		return err
	}
	proc, err := Start(p, pool.given, scenario.User{}, nil)
	if err != nil {
		return err
	}
	defer proc.Close()
	if p.Hello, err = proc.Greet(ctx, timeout); err != nil {
		return err
	}
	for _, command := range []string{"end", fmt.Sprintf("use sock=%d fds=-", proc.FDs[1]), "end"} {
		if err := proc.expect(ctx, command, "ok", timeout); err != nil {
			return err
		}
	}
	if err := proc.testClosed(pool.near[0], proc.FDs[1]); err != nil {
		return err
	}
	var wrong []error
	tests := []func() error{
		proc.testSIGPIPE,
		func() error { return proc.testAlone(pool.near[0]) },
		func() error { return proc.testPattern(ctx, pool, len(socketTypes), timeout) },
		func() error { return proc.testBasics(ctx, pool, 2*len(socketTypes), true, timeout) },
	}
	for _, bad := range nonsense {
		tests = append(tests, func() error {
			if err := proc.expect(ctx, bad[0], "unsupported", timeout); err != nil {
				return fmt.Errorf("%w (the command has %s, to which the answer is unsupported)", err, bad[1])
			}
			return nil
		})
	}
	for _, test := range tests {
		err := test()
		wrong = append(wrong, err)
		if errors.Is(err, errGone) || errors.Is(err, ErrHang) || errors.Is(err, ErrCut) {
			return errors.Join(wrong...)
		}
	}
	switch err := proc.closeWithin(smokeGrace); {
	case proc.EndedBy(unix.SIGKILL): // by the runner
		wrong = append(wrong, fmt.Errorf("at the end of its input: the peer did not exit within %v", smokeGrace))
	case err != nil:
		wrong = append(wrong, fmt.Errorf("at the end of its input: %w", err))
	}
	return errors.Join(wrong...)
}

// testClosed tests that the peer has closed a socket of the pool, which it has as fd and the runner as near. The runner
// looks for leaks only in the process that it has started, so that process must be the peer.
func (proc *Process) testClosed(near, fd int) error {
	socket, err := procfs.ReadLink(procfs.Self, near)
	if err != nil {
		return err
	}
	if left, err := procfs.ReadLink(proc.Pid, fd); err != nil || left != socket {
		return nil
	}
	hint := "if that is a shell, or starts the peer, it must do so by exec"
	if !proc.startsPeer() {
		hint = "the peer itself has not closed it; " + hint
	}
	return fmt.Errorf("%q leaves the socket open in process %d: %s", "end", proc.Pid, hint)
}

// startsPeer reports whether the process seems to have started the peer, rather than to be the peer: a descendant has
// the same standard output and the same pool. Helpers of a runtime, such as Erlang's erl_child_setup, keep only the
// standard output.
func (proc *Process) startsPeer() bool {
	same := func(pid, fd int) bool {
		own, errOwn := procfs.ReadLink(proc.Pid, fd)
		name, err := procfs.ReadLink(pid, fd)
		return errOwn == nil && err == nil && name == own
	}
	processes := []int{proc.Pid}
	for i := 0; i < len(processes); i++ {
		children, _ := procfs.Children(processes[i]) // an error means that it has ended
		processes = append(processes, children...)
	}
	return slices.ContainsFunc(processes[1:], func(pid int) bool { return same(pid, 1) && same(pid, proc.FDs[0]) })
}

// testAlone tests that no other process has a socket of the pool, which the peer itself has closed. The peer, or a
// script that starts it, has left such a process behind, unless the process ends soon.
func (proc *Process) testAlone(near int) error {
	socket, err := procfs.IdentifyOwn(near)
	for deadline := time.Now().Add(smokeGrace); err == nil; time.Sleep(Grace / 100) {
		where := witness.Holder(socket, proc.Pid)
		if where == "" {
			return nil
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("a socket is still open %s after the end of the case", where)
		}
	}
	return err
}

// testSIGPIPE tests that SIGPIPE does not kill the peer. The runtime of a language may catch the signal instead.
func (proc *Process) testSIGPIPE() error {
	status, err := procfs.ReadStatus(proc.Pid)
	if err != nil {
		return nil // hidepid can hide the peer; one that has ended is reported at the next command
	}
	for _, field := range []string{"SigIgn", "SigCgt"} {
		set, err := strconv.ParseUint(status.Field(field), 16, 64)
		if err != nil || set&(1<<(unix.SIGPIPE-1)) != 0 {
			return nil
		}
	}
	return errors.New("it does not ignore SIGPIPE: a send to a closed socket may kill it")
}

// testPattern tests that the peer sends and recognizes the payload pattern, which a command writes as @N, and that it
// writes bytes in lower case. The runner and the peer send each other the file of the pool with the payload. A library
// may reject the send and recv commands. The sockets for the types in contract.SocketTypes begin with near[first].
func (proc *Process) testPattern(ctx context.Context, pool *testPool, first int, timeout time.Duration) error {
	i := slices.IndexFunc(contract.SocketTypes, proc.Peer.Hello.Offers)
	if proc.Peer.Hello.Payload != "" || i < 0 {
		return nil // the library fixes the payload, or supports no type of socket
	}
	i += first
	if err := proc.expect(ctx, fmt.Sprintf("use sock=%d fds=%d", proc.FDs[1+i], proc.FDs[0]), "ok", timeout); err != nil {
		return err
	}
	send := fmt.Sprintf("send payload=@5000 fds=%d at=7", proc.FDs[0])
	command, err := contract.ParseCommand(contract.Commands, send)
	if err != nil {
		return err
	}
	want := contract.Get(command, "payload", contract.Payload(nil)).Buffers(7)[0]

	answer, err := proc.Ask(ctx, send, timeout)
	if err != nil {
		return fmt.Errorf("%q: %w", send, proc.Explain(err))
	}
	if strings.HasPrefix(answer, "ok ") {
		if sent := received(pool.far[i]); len(sent) == 0 || !bytes.HasPrefix(want, sent) {
			return fmt.Errorf("answered %s to %q, but the %d bytes that it sent are not the pattern", contract.Quote(answer), send, len(sent))
		}
	}
	if proc.Peer.Hello.Closes && !strings.HasPrefix(answer, "ok ") {
		return proc.expect(ctx, "end", "ok", timeout) // the library may have closed the socket
	}
	for _, m := range []struct {
		message []byte
		recv    string
		are     string
	}{
		{[]byte{0xaf}, "recv bytes=16 fds=1", "af"}, // the digits that have two cases
		{want, "recv bytes=5000 fds=1 at=7", "the pattern"},
	} {
		if err := pool.sendTo(i, m.message); err != nil {
			return err
		}
		if answer, err = proc.Ask(ctx, m.recv, timeout); err != nil {
			return fmt.Errorf("%q: %w", m.recv, proc.Explain(err))
		}
		if !strings.HasPrefix(answer, "ok ") {
			break
		}
		line, err := contract.ParseLine(answer)
		if err != nil {
			return err
		}
		got := line.Fields["payload"]
		if m.are == strings.ToLower(got) && got != m.are {
			return fmt.Errorf("answered %s to %q: bytes are written in lower case", contract.Quote(answer), m.recv)
		}
		if _, _, err = contract.ParseAnswer(contract.Commands, "recv", answer); err != nil {
			return err
		}
		if n := min(contract.PayloadLen(got), len(m.message)); got != contract.FormatPayload(m.message[:n], 7) {
			return fmt.Errorf("answered %s to %q, but the bytes that were sent to it are %s", contract.Quote(answer), m.recv, m.are)
		}
	}
	return proc.expect(ctx, "end", "ok", timeout)
}

// received returns the bytes that are queued in a socket.
func received(sock int) (all []byte) {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(sock, buffer, unix.MSG_DONTWAIT)
		if err != nil || n == 0 {
			return all
		}
		all = append(all, buffer[:n]...)
	}
}

func (proc *Process) expect(ctx context.Context, command, want string, timeout time.Duration) error {
	a, err := proc.Ask(ctx, command, timeout)
	if err != nil {
		return fmt.Errorf("%q: %w", command, proc.Explain(err))
	}
	if a != want {
		return fmt.Errorf("answered %s to %q, not %s", contract.Quote(a), command, want)
	}
	return nil
}

// Greet sends hello, and then a command that does not exist. The peer must answer "unsupported" to that command, so
// that its later answers of "unsupported" can be trusted.
func (proc *Process) Greet(ctx context.Context, timeout time.Duration) (h contract.Hello, err error) {
	a, err := proc.Ask(ctx, "hello", timeout)
	if errors.Is(err, ErrHang) {
		return h, fmt.Errorf("%w (%v): is standard output flushed after each line, or is the machine slow?", proc.Explain(err), timeout)
	}
	if err != nil {
		return h, proc.Explain(err)
	}
	if h, err = contract.ParseHello(a); err != nil {
		return h, err
	}
	unknown := strings.ToLower(rand.Text()) + " height=3"
	a, err = proc.Ask(ctx, unknown, timeout)
	if err != nil {
		return h, fmt.Errorf("%q, an unknown command: %w", unknown, proc.Explain(err))
	}
	if a != "unsupported" {
		return h, fmt.Errorf("answered %s to %q, an unknown command, not unsupported", contract.Quote(a), unknown)
	}
	return h, nil
}

// Probe starts the peer, fills in p.Hello and p.Slow, and ends the peer.
func Probe(p *scenario.Peer, timeout time.Duration) error {
	return ProbeContext(context.Background(), p, timeout)
}

// slowStart is a start time that only peers with a large runtime exceed.
const slowStart = 25 * time.Millisecond

// ProbeContext is like Probe but ends early when ctx is done.
func ProbeContext(ctx context.Context, p *scenario.Peer, timeout time.Duration) error {
	return probe(ctx, p, &testPool{}, timeout)
}

// ProbeTemplate is like ProbeContext, and also fills in p.Unfilled if the peer answers "unsupported" to every send and
// every receive.
func ProbeTemplate(ctx context.Context, p *scenario.Peer, timeout time.Duration) error {
	pool, err := newTestPool(socketTypes...)
	defer pool.close()
	if err != nil {
		return err
	}
	return probe(ctx, p, pool, timeout)
}

// probe implements ProbeContext and, if the pool is not empty, ProbeTemplate.
func probe(ctx context.Context, p *scenario.Peer, pool *testPool, timeout time.Duration) error {
	began := time.Now()
	proc, err := Start(p, pool.given, scenario.User{}, nil)
	if err != nil {
		return err
	}
	defer proc.Close()
	p.Hello, err = proc.Greet(ctx, timeout)
	p.Slow = time.Since(began) > slowStart
	if err == nil && len(pool.given) > 0 {
		_ = proc.testBasics(ctx, pool, 0, false, Grace) // a template answers at once, and the run shows any other fault
	}
	return err
}
