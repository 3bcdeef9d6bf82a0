//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// inherited is what a command gets of the signals of scm's caller, for the help.
const inherited = `Of the signals that scm's caller ignores, COMMAND ignores HUP, INT, CONT, TSTP, TTIN and
TTOU alone, and of those that it blocks, HUP, INT, QUIT, TERM, CHLD and others are not
blocked: Go's runtime changes them before scm begins.`

// interrupt is the signal that ended a run.
type interrupt syscall.Signal

func (i interrupt) Error() string { return syscall.Signal(i).String() }

// endings are the signals that end a run.
var endings = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// untilSignal returns a context that one of endings cancels: the run then ends its peers in
// order and reports what it has. With stacks SIGQUIT also writes those of all goroutines to
// standard error, as Go does, and a second SIGQUIT ends the process at once.
// Until stop is called, a write to a pipe without a reader returns EPIPE and SIGPIPE does
// not end the process.
func untilSignal(stacks bool) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	for _, s := range endings {
		if !signal.Ignored(s) { // by nohup, say
			signal.Notify(signals, s)
		}
	}
	// Notify, because a program that is started inherits what Ignore has set.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	go func() {
		select {
		case s := <-signals:
			if stacks && s == syscall.SIGQUIT {
				signal.Reset(s)
				text := make([]byte, 1<<20)
				_, _ = os.Stderr.Write(text[:runtime.Stack(text, true)])
			}
			cancel(interrupt(s.(syscall.Signal)))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		signal.Stop(pipe)
		cancel(nil)
	}
}

// interrupted is the error to exit with after a signal, or nil.
func interrupted(ctx context.Context) error {
	var i interrupt
	if !errors.As(context.Cause(ctx), &i) {
		return nil
	}
	return &exitError{128 + int(i), i}
}
