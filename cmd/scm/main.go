// Command scm passes open files between processes, shows how programs do it, and runs
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
	exitOK     = 0 // all as expected
	exitFail   = 1 // something not as expected
	exitUsage  = 2 // the command line
	exitNone   = 3 // nothing ran, or nothing of a peer
	exitBroken = 4 // a peer or the set-up
	exitSignal = 128
)

// exitError is an error with its exit code. Without err, all is said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

func broken(err error) error { return &exitError{exitBroken, err} }

func main() {
	recorderMain()
	process.Main()
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	root := &cobra.Command{
		Use:           "scm",
		Short:         "Pass open files between processes, and prove that it works",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionText(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(socketCommands()...)
	root.AddCommand(interopCommand(), traceCommand(), diffCommand(), versionCommand())
	root.SetArgs(args)
	out := &output{w: os.Stdout}
	root.SetOut(out)
	err := root.Execute()
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
	return exit.code
}

// An output is standard output. It keeps the first error, which makes the exit code 4: no
// command looks for one.
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

// printError prints an error, or each of several that were joined. A peer, or a partner,
// may have written some of its text: no line of that looks like one of ours.
func printError(err error) {
	list := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		list = joined.Unwrap()
	}
	for _, err := range list {
		fmt.Fprintln(os.Stderr, display.Block("", "scm: "+strings.TrimPrefix(err.Error(), "scm: ")))
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the backend and the platform",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

func versionText() string {
	return fmt.Sprintf("scm %s, backend %s, %s %s/%s", version(), scm.Backend, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is the module's, as the build has recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
