//go:build unix

package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"syscall"
)

// Inherited is the paragraph for help texts about the signals that a command inherits.
const Inherited = `Of the signals that the caller of scm ignores, COMMAND ignores only HUP, INT, CONT, TSTP,
TTIN and TTOU. Of those that the caller blocks, HUP, INT, QUIT, TERM, CHLD and some others
are not blocked in COMMAND. The Go runtime changes them before scm starts.`

// An interrupt is an error that identifies the signal that interrupted scm.
type interrupt syscall.Signal

func (i interrupt) Error() string { return syscall.Signal(i).String() }

// Notify is like signal.Notify, but leaves out the signals that the caller of scm ignores, as
// nohup does.
func Notify(to chan os.Signal, signals ...os.Signal) {
	for _, s := range slices.DeleteFunc(signals, signal.Ignored) {
		signal.Notify(to, s)
	}
}

// UntilSignal calls f with a context that a signal cancels. If a signal arrived, it returns an ExitError
// for the signal, and otherwise the error from f. QUIT also writes the stacks of all goroutines to
// standard error, as in any Go program. Until f returns, a write to a pipe without a reader returns an
// error instead of ending scm.
func UntilSignal(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals, pipe := make(chan os.Signal, 1), make(chan os.Signal, 1)
	Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
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
		return Exit(ExitSignal+int(i), i)
	}
	return err
}
