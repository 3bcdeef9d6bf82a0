//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"syscall"
)

// inherited is what a command gets of the signals of scm's caller, for the help.
const inherited = `Of the signals that scm's caller ignores, COMMAND ignores HUP, INT, CONT, TSTP, TTIN and
TTOU alone, and of those that it blocks, HUP, INT, QUIT, TERM, CHLD and others are not
blocked: Go's runtime changes them before scm begins.`

// interrupt is the signal that ended a run.
type interrupt syscall.Signal

func (i interrupt) Error() string { return syscall.Signal(i).String() }

// listen gives the channel these signals, but for those that scm's caller ignores, as nohup does.
func listen(to chan os.Signal, signals ...os.Signal) {
	for _, s := range slices.DeleteFunc(signals, signal.Ignored) {
		signal.Notify(to, s)
	}
}

// untilSignal calls f with a context that a signal cancels, and returns its error, or the signal as
// one. QUIT also writes the stacks of all goroutines to standard error, as in any Go program. Until f
// returns, a write to a pipe that nobody reads is an error and does not end scm.
func untilSignal(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals, pipe := make(chan os.Signal, 1), make(chan os.Signal, 1)
	listen(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(signals)
	defer signal.Stop(pipe)
	go func() {
		select {
		case s := <-signals:
			if s == syscall.SIGQUIT {
				_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
			}
			cancel(interrupt(s.(syscall.Signal)))
		case <-ctx.Done():
		}
	}()
	err := f(ctx)
	var i interrupt
	if errors.As(context.Cause(ctx), &i) {
		return &exitError{exitSignal + int(i), i}
	}
	return err
}
