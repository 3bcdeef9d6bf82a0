package main

import (
	"errors"
	"os"
	"os/signal"
	"time"

	"github.com/scm-rights/scm/internal/recorder"
	"golang.org/x/sys/unix"
)

// The signals that are meant for the command when they are sent to the one who records it.
var (
	passedToEnd  = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM}
	passedToTell = []os.Signal{unix.SIGUSR1, unix.SIGUSR2}
)

// passSignals hands signals on to the command once it is there. It keeps a SIGUSR1 or SIGUSR2
// that arrives before. stop ends that, and returns the signal that arrived of those that are meant to
// end programs, or 0.
func passSignals(o *recorder.Options) (stop func() unix.Signal) {
	signals := make(chan os.Signal, 16)
	notify := func(passed []os.Signal) {
		for _, s := range passed {
			if !signal.Ignored(s) {
				signal.Notify(signals, s)
			}
		}
	}
	// Until the command is there, the other signals end scm. It may hang in execve(2), on a
	// file of FUSE, and Go holds a processor for as long: with one it would hear nothing.
	notify(passedToTell)
	started := make(chan *os.Process, 1)
	o.Started = func(p *os.Process) {
		notify(passedToEnd)
		started <- p
	}
	watch := new(recorder.Watch)
	o.Watch = watch
	done, got := make(chan struct{}), make(chan unix.Signal)
	go func() {
		var end unix.Signal
		defer func() { got <- end }()
		var p *os.Process
		select {
		case p = <-started:
		case <-done:
			return
		}
		for {
			select {
			case s := <-signals:
				if errors.Is(p.Signal(unix.Signal(0)), os.ErrProcessDone) {
					endBy(s.(unix.Signal))
					continue
				}
				if s != unix.SIGUSR1 && s != unix.SIGUSR2 {
					end = s.(unix.Signal)
				}
				if !fromTerminal(s) {
					_ = p.Signal(s) // it may have ended
				}
				go endIfStuck(watch, s.(unix.Signal))
			case <-done:
				return
			}
		}
	}()
	return func() unix.Signal {
		signal.Stop(signals)
		close(done)
		return <-got
	}
}

// endBy is what a signal does when the command has ended and only what it has
// started runs on: it ends scm, and with it all of them.
func endBy(s unix.Signal) {
	if s == unix.SIGUSR1 || s == unix.SIGUSR2 {
		return
	}
	_ = recorder.DefaultAction(s) // of a signal that there is
	_ = unix.Kill(unix.Getpid(), s)
}

// stuck is how long one stop of a program may take after a signal to end.
const stuck = time.Second

// endIfStuck ends scm by a signal while the recorder waits, for memory of the command or for a reader
// of the trace: the command is stopped then, and would never get the signal.
func endIfStuck(watch *recorder.Watch, s unix.Signal) {
	if s != unix.SIGUSR1 && s != unix.SIGUSR2 && watch.Stuck(stuck) {
		endBy(s)
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
	defer func() { _ = tty.Close() }()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
