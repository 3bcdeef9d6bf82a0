package interop

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Smoke tells whether a peer is itself well, before anything is asked of its
// library: it starts, answers what the contract alone asks for, supports nothing
// that there is not, and ends with its input.
func (p *Peer) Smoke(ctx context.Context, timeout time.Duration) error {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	starting.Lock()
	proc, err := p.start(two[:1], User{}, nil)
	starting.Unlock()
	for _, fd := range two {
		defer unix.Close(fd)
	}
	if err != nil {
		return err
	}
	defer proc.close()
	if p.Hello, err = proc.greet(ctx, timeout); err != nil {
		return err
	}
	say := func(command, want string) error {
		a, err := proc.ask(ctx, command, timeout)
		if err != nil {
			return fmt.Errorf("%q: %w", command, proc.explain(err))
		}
		if a != want {
			return fmt.Errorf("answered %s to %q, not %s", quote(a), command, want)
		}
		return nil
	}
	use := fmt.Sprintf("use sock=%d fds=-", proc.numbers[0])
	for _, command := range []string{"end", use, "end"} {
		if err := say(command, "ok"); err != nil {
			return err
		}
	}
	var wrong []error
	for _, command := range nonsense {
		if err := say(command, "unsupported"); err != nil {
			wrong = append(wrong, err)
			if errors.Is(err, errGone) || errors.Is(err, errHang) || errors.Is(err, errCut) {
				return errors.Join(wrong...)
			}
		}
	}
	if err := proc.close(); err != nil {
		wrong = append(wrong, fmt.Errorf("at the end of its input: %w", err))
	}
	return errors.Join(wrong...)
}
