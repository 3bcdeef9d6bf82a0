package tracecmd

import (
	"errors"
	"os"
	"os/signal"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/internal/recorder"
	"golang.org/x/sys/unix"
)

// passSignals forwards signals to the command while it runs. Before the command starts and after it has
// ended, HUP, INT, QUIT and TERM terminate scm itself. Calling stop ends the forwarding and returns the last
// HUP, INT, QUIT or TERM that arrived, or 0 if none did.
func passSignals(o *recorder.Options) (stop func() unix.Signal) {
	signals, end := make(chan os.Signal, 16), make(chan unix.Signal, 1)
	cli.Notify(signals, unix.SIGUSR1, unix.SIGUSR2)
	started := false
	o.Started = func(p *os.Process) {
		cli.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
		started = true
		go func() {
			got := unix.Signal(0)
			for s := range signals {
				ends := s != unix.SIGUSR1 && s != unix.SIGUSR2
				if ends {
					got = s.(unix.Signal)
				}
				if fromTerminal(s) {
					s = unix.Signal(0) // the command has received it; this only asks whether the command has ended
				}
				// now scm waits only for processes that the command started
				if errors.Is(p.Signal(s), os.ErrProcessDone) && ends {
					signal.Reset(got)
					_ = unix.Kill(unix.Getpid(), got)
				}
			}
			end <- got
		}()
	}
	return func() unix.Signal {
		signal.Stop(signals)
		close(signals)
		if !started {
			return 0
		}
		return <-end
	}
}

// fromTerminal reports whether the terminal sent the signal. The terminal sends a signal to every
// process in its foreground process group, so the command has already received it. Package
// os/signal does not report who sent a signal. If scm is in the foreground, fromTerminal therefore
// assumes that any INT, QUIT or HUP is from the terminal.
func fromTerminal(s os.Signal) bool {
	if s != unix.SIGINT && s != unix.SIGQUIT && s != unix.SIGHUP {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetUint32(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && int(group) == unix.Getpgrp()
}
