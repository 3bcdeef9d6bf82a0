package main

import (
	"errors"
	"os"
	"os/signal"

	"github.com/scm-rights/scm/internal/recorder"
	"golang.org/x/sys/unix"
)

// passSignals hands signals on to the command once it is there; until then those that are meant to end
// programs end scm, and once the command has ended they do so again. stop ends that, and returns the last
// of them that arrived, or 0.
func passSignals(o *recorder.Options) (stop func() unix.Signal) {
	signals, end := make(chan os.Signal, 16), make(chan unix.Signal, 1)
	listen(signals, unix.SIGUSR1, unix.SIGUSR2)
	started := false
	o.Started = func(p *os.Process) {
		listen(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
		started = true
		go func() {
			got := unix.Signal(0)
			for s := range signals {
				ends := s != unix.SIGUSR1 && s != unix.SIGUSR2
				if ends {
					got = s.(unix.Signal)
				}
				switch {
				case errors.Is(p.Signal(unix.Signal(0)), os.ErrProcessDone):
					if ends { // only what the command has started runs on
						signal.Reset(got)
						_ = unix.Kill(unix.Getpid(), got)
					}
				case !fromTerminal(s):
					_ = p.Signal(s) // it may have ended
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

// fromTerminal reports whether the terminal has sent the signal, to all of its
// foreground: then the command has it already. os/signal does not say who sent a
// signal, so in the foreground each of these counts as the terminal's.
func fromTerminal(s os.Signal) bool {
	if s != unix.SIGINT && s != unix.SIGQUIT && s != unix.SIGHUP {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
