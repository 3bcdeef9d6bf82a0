// The runtime keeps no file of a cgroup open: recv needs its number for a command.
//go:debug containermaxprocs=0

// Command scm passes open files between processes, shows how programs do it, and runs
// the interop suite.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
)

// exitError is an error with its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

func broken(err error) error { return &exitError{exitBroken, err} }

func orBroken(err error) error {
	if err != nil {
		return broken(err)
	}
	return nil
}

func main() {
	process.Main()
	code := run(os.Args[1:])
	reportStatus(code)
	os.Exit(code)
}

func run(args []string) int {
	root := &cobra.Command{
		Use:           "scm",
		Short:         "Pass open files between processes, and prove that it works",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(sendCommand(), recvCommand(), moveCommand(), interopCommand(), traceCommand(), diffCommand(), versionCommand())
	root.SetArgs(args)
	out := &console{w: os.Stdout}
	root.SetOut(out)
	err := root.Execute()
	var exit *exitError
	switch {
	case errors.As(err, &exit):
	case out.err != nil:
		exit = &exitError{exitBroken, out.err}
	case err != nil:
		exit = &exitError{exitUsage, err}
	default:
		return exitOK
	}
	if exit.err != nil {
		printError(exit.err)
	}
	return exit.code
}

// A console remembers the first error of writing to it: cobra does not look when it writes a
// help.
type console struct {
	w   io.Writer
	err error
}

func (c *console) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// printError prints an error, or each of several that were joined. A peer, or a partner,
// may have written some of its text: no line of that looks like one of ours.
func printError(err error) {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		list = joined.Unwrap()
	}
	for _, err := range list {
		fmt.Fprintln(os.Stderr, display.Block("", "scm: "+strings.TrimPrefix(err.Error(), "scm: ")))
	}
}
