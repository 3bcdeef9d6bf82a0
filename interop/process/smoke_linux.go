package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// nonsense is what nobody could support. A peer that says anything but
// "unsupported" would say it of a scenario, too.
var nonsense = []string{
	"levitate height=3",
	"send payload=00 fds=- flags=sideways",
	"send payload=0g fds=-",
	"recv bytes=1 fds=0 color=red",
	"recv bytes=+1 fds=0",
	"recv bytes=1 fds=0 flags=sideways",
	"close fds=9999",
}

// Smoke checks the peer itself, before its library: it starts, answers what the contract
// alone asks for, says unsupported to commands that do not exist, and ends with its input.
func Smoke(ctx context.Context, p *scenario.Peer, timeout time.Duration) error {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(two[0])
	defer unix.Close(two[1])
	proc, err := Start(p, two[:1], scenario.User{}, nil)
	if err != nil {
		return err
	}
	defer proc.Close()
	if p.Hello, err = proc.Greet(ctx, timeout); err != nil {
		return err
	}
	for _, command := range []string{"end", fmt.Sprintf("use sock=%d fds=-", proc.Numbers[0]), "end"} {
		if err := proc.expect(ctx, command, "ok", timeout); err != nil {
			return err
		}
	}
	// The runner looks for what a peer leaves open in the process that it has started.
	socket, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", two[0]))
	if err != nil {
		return err
	}
	if left, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", proc.Pid, proc.Numbers[0])); err == nil && left == socket {
		return fmt.Errorf("%q leaves the socket open in process %d: if that is a shell, or starts the peer, it must do so by exec", "end", proc.Pid)
	}
	var wrong []error
	for _, command := range nonsense {
		err := proc.expect(ctx, command, "unsupported", timeout)
		wrong = append(wrong, err)
		if errors.Is(err, errGone) || errors.Is(err, ErrHang) || errors.Is(err, ErrCut) {
			return errors.Join(wrong...)
		}
	}
	if err := proc.Close(); err != nil {
		wrong = append(wrong, fmt.Errorf("at the end of its input: %w", err))
	}
	return errors.Join(wrong...)
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

// Greet says hello, and then a word that no peer can know, so that "unsupported" can be
// believed later.
func (proc *Process) Greet(ctx context.Context, timeout time.Duration) (h contract.Hello, err error) {
	a, err := proc.Ask(ctx, "hello", timeout)
	if errors.Is(err, ErrHang) {
		return h, fmt.Errorf("%w (%v): is standard output flushed after each line?", proc.Explain(err), timeout)
	}
	if err != nil {
		return h, proc.Explain(err)
	}
	if h, err = contract.ParseHello(a); err != nil {
		return h, err
	}
	a, err = proc.Ask(ctx, strings.ToLower(rand.Text())+" height=3", timeout)
	if err != nil {
		return h, proc.Explain(err)
	}
	if a != "unsupported" {
		return h, fmt.Errorf("answered %s to an unknown command, not unsupported", contract.Quote(a))
	}
	return h, nil
}

// Probe starts the peer, asks it for its Hello, and ends it.
func Probe(p *scenario.Peer, timeout time.Duration) error {
	return ProbeContext(context.Background(), p, timeout)
}

// slowStart is how long no peer takes to start but those with a large runtime.
const slowStart = 25 * time.Millisecond

// ProbeContext is Probe, which ends early when ctx is done.
func ProbeContext(ctx context.Context, p *scenario.Peer, timeout time.Duration) error {
	began := time.Now()
	proc, err := Start(p, nil, scenario.User{}, nil)
	if err != nil {
		return err
	}
	defer proc.Close()
	p.Hello, err = proc.Greet(ctx, timeout)
	p.Slow = time.Since(began) > slowStart
	return err
}
