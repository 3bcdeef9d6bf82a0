// Package must ends the work of a proof at its first error, as testing.T.FailNow ends a test.
package must

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A failure is what the functions of this package panic with.
type failure struct{ error }

// OK fails if err is not nil.
func OK(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Get returns the value, and fails if err is not nil.
func Get[T any](value T, err error) T {
	OK(err)
	return value
}

// Failf fails with the error of fmt.Errorf.
func Failf(format string, args ...any) { OK(fmt.Errorf(format, args...)) }

// Run runs a program, and returns what that writes to both outputs. It fails with that text if the program fails.
func Run(cmd *exec.Cmd) string {
	text, err := cmd.CombinedOutput()
	if err != nil {
		Failf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return string(text)
}

// Main calls f. If f fails, Main prints the error after the name of the program, and exits with the status 1.
func Main(name string, f func()) {
	if err := Try(f); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Try returns the error with which f failed, or nil.
func Try(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
			panic(r)
		}
	}()
	f()
	return nil
}
