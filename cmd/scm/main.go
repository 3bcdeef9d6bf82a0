// Command scm passes open files between processes, records how programs do that, and runs
// the interop suite.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/process"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK     = 0   // everything ended as expected
	exitFail   = 1   // something did not end as expected
	exitUsage  = 2   // wrong usage
	exitNone   = 3   // nothing ran, or a peer has no verdict
	exitBroken = 4   // a peer or the set-up is broken
	exitSignal = 128 // plus the number of the signal
)

// An exitError is an error that determines the exit code of scm. If err is nil, the command has
// already printed the problem.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

// broken returns err with the exit code for a broken peer or set-up.
func broken(err error) error { return &exitError{exitBroken, err} }

func main() {
	linuxMain()
	process.Main()
	os.Exit(run(os.Args[1:]))
}

// run executes the command line, and returns the exit code.
func run(args []string) int {
	root := rootCommand()
	accepted := false // the flags and the arguments have the form that the command accepts
	root.PersistentPreRun = func(*cobra.Command, []string) { accepted = true }
	root.SetArgs(args)
	out := &output{w: os.Stdout}
	root.SetOut(out)
	cmd, err := root.ExecuteC()
	exit := &exitError{exitUsage, err}
	switch {
	case errors.As(err, &exit) && exit.code > exitSignal:
	case out.err != nil:
		exit = &exitError{exitBroken, out.err}
	case err == nil:
		return exitOK
	}
	if exit.err != nil {
		printError(exit.err)
	}
	if exit.code == exitUsage && !accepted {
		fmt.Fprint(os.Stderr, usageHint(cmd))
	}
	return exit.code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "scm",
		Short: "Pass open files between processes, and test programs that do",
		Long: `Pass open files between processes, and test programs that do.

A separate command, scmvet, reports mistakes in Go programs that pass descriptors. To build it
in a checkout: go build -C cmd/scmvet -o $PWD/build/scmvet .`,
		Args:          commandArg,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionText(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(socketCommands()...)
	root.AddCommand(interopCommand(), pokeCommand(), traceCommand(), diffCommand(), versionCommand())
	return root
}

// An output writes to standard output and keeps the first write error. If a write failed, run
// returns exit code 4. Commands therefore need not check for write errors.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// printError prints an error, or each error if several were joined. The text may quote a peer or
// a partner. printError ensures that no quoted line can be mistaken for one of scm's own.
func printError(err error) {
	errs := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		fmt.Fprintln(os.Stderr, display.Block("", "scm: "+strings.TrimPrefix(err.Error(), "scm: ")))
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the backend and the platform",
		Args:  exactArgs(),
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

// versionText returns the output of the version command.
func versionText() string {
	return fmt.Sprintf("scm %s, backend %s, %s %s/%s", version(), scm.Backend, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// release is the version, in a program that tools/dist.sh built.
var release string

// version returns the version of the module, as the build recorded it.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
