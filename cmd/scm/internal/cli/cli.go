// Package cli contains what the commands of scm share: exit codes, checks of arguments, and signals.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	ExitOK     = 0   // everything ended as expected
	ExitFail   = 1   // something did not end as expected
	ExitUsage  = 2   // wrong usage
	ExitNone   = 3   // nothing ran, or a peer has no verdict
	ExitBroken = 4   // a peer or the set-up is broken
	ExitSignal = 128 // plus the number of the signal
)

// An ExitError is an error that determines the exit code of scm. If Err is nil, the command has
// already printed the problem.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d: %v", e.Code, e.Err) }
func (e *ExitError) Unwrap() error { return e.Err }

// Exit returns err with an exit code. The error may be nil.
func Exit(code int, err error) *ExitError { return &ExitError{Code: code, Err: err} }

// Broken returns err with the exit code for a broken peer or set-up.
func Broken(err error) error { return Exit(ExitBroken, err) }

// WriteError returns the error for a report that cannot be written.
func WriteError(err error) *ExitError {
	return Exit(ExitBroken, fmt.Errorf("cannot write the report: %w", err))
}

// PrintError prints an error, or each error if several were joined. The text may quote a peer or
// a partner. PrintError ensures that no quoted line can be mistaken for one of scm's own.
func PrintError(err error) {
	errs := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		fmt.Fprintln(os.Stderr, display.Block("", "scm: "+strings.TrimPrefix(err.Error(), "scm: ")))
	}
}

// PrintJSON prints a value as one line of JSON.
func PrintJSON(w io.Writer, v any) {
	text, _ := json.Marshal(v) // cannot fail for the types that scm prints
	_, _ = w.Write(append(display.JSON(text), '\n'))
}

// Unsupported returns a command that always fails, because this system cannot run it.
func Unsupported(use, why string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              use + " " + why,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return Broken(errors.New(use + " " + why)) },
	}
}

// release is the version, in a program that tools/dist.sh built.
var release string

// Version returns the version of the module, as the build recorded it.
func Version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
