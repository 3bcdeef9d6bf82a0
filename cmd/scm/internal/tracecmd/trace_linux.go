// Package tracecmd implements scm trace and scm diff.
package tracecmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/display"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// page refers to the rest of the help texts.
const page = `docs/recording.md in the scm repository says how to read the output, what scm does not
see, and how it changes the program that it records.`

// Exit codes for a command that could not be started. A shell uses the same codes.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// Main must be called first in main. In the stub process that the recorder starts, it does not return.
func Main() { recorder.Main() }

var traceHelp = `Print every message with ancillary data (descriptors, credentials) that COMMAND
and its children send or receive. Each line contains the thread, the call, its socket,
the payload, the ancillary data, the flags, the result and the received flags.

  8008 recvmsg(4<unix stream socket:[3750]>, "\x00", SCM_RIGHTS [5<regular
  /etc/hosts, read> close-on-exec], MSG_CMSG_CLOEXEC) = 1 MSG_CMSG_CLOEXEC

At its end, the trace lists the received descriptors that were still open when their
process ended, and those that an exec passed on to another program.

` + counted() + `

The trace ends when COMMAND and its children have ended. With -p, it also ends on HUP,
INT and TERM, and the process keeps running.

` + page + `

Exit status: that of COMMAND, 128 plus the signal that ended it, 127 if it was not found,
126 if it could not be executed, 2 for wrong usage, and 4 if the trace could not be set
up or written. With -p: 0, or 4 if the process could not be traced or the trace could not
be written.`

// traceOptions contains the flags of trace.
type traceOptions struct {
	output   string
	pid      int
	all      bool
	printer  tracePrinter
	recorder recorder.Options
}

// Trace returns the trace command.
func Trace() *cobra.Command {
	var o traceOptions
	cmd := &cobra.Command{
		Use:   "trace [flags] {-- COMMAND [ARG]... | -p PID}",
		Short: "Print the messages with ancillary data of a program and its children",
		Long:  traceHelp,
		Example: `  scm trace -- ./server --port 80
  scm trace --raw -o server.trace -- ./server
  scm trace --json -p 4711`,
		Args: o.validate,
		RunE: o.run,
	}
	o.flags(cmd)
	return cmd
}

func (o *traceOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&o.output, "output", "o", "", "write to `FILE` instead of standard error")
	f.BoolVar(&o.printer.raw, "raw", false, "also print the memory in hexadecimal, below the names of the fields")
	f.BoolVar(&o.printer.json, "json", false, "print one JSON object per line")
	f.BoolVar(&o.all, "all", false, "also print messages without ancillary data")
	f.BoolVar(&o.recorder.NoFilter, "no-filter", false, "use no seccomp filter; slower, for programs that use seccomp themselves")
	f.IntVarP(&o.pid, "pid", "p", 0, "trace the running process `PID`, its threads and its children")
}

func (o *traceOptions) validate(_ *cobra.Command, args []string) error {
	if (len(args) == 0) == (o.pid == 0) || o.pid < 0 {
		return errors.New("trace needs either a COMMAND or -p PID")
	}
	return nil
}

func (o *traceOptions) run(_ *cobra.Command, args []string) error {
	p := &o.printer
	p.out = os.Stderr
	if o.output != "" {
		f, err := os.OpenFile(o.output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666) // a FIFO needs a reader
		if err != nil {
			return cli.Broken(err)
		}
		p.out = f
	}
	if !p.raw && !p.json {
		o.recorder.Limit = recorder.TextBytes
	}
	o.recorder.Ancillary = !o.all
	o.recorder.Handle = p.print
	o.recorder.StillOpen = func(found *recorder.StillOpen) { p.stillOpen = append(p.stillOpen, found) }
	o.recorder.TablesUnknown = printTablesUnknown
	o.recorder.LeftOut = func(pid int, why error) {
		_, _ = fmt.Fprintf(os.Stderr, "scm: process %d is not in the trace: %v\n", pid, why)
	}
	// If the process that reads the trace exits, the command keeps running.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	var err error
	if o.pid != 0 {
		err = traceProcess(o.pid, o.recorder, p)
	} else {
		err = traceProgram(args, o.recorder)
		p.printStillOpen()
	}
	p.close()
	if err == nil && p.err != nil {
		return cli.Exit(cli.ExitBroken, nil)
	}
	return err
}

// printTablesUnknown says that descriptors may be missing among those that are still open.
func printTablesUnknown(why error) {
	_, _ = fmt.Fprintf(os.Stderr, "scm: descriptors of threads that have a descriptor table of their own may be "+
		"missing from those that are still open, because scm cannot recognize such threads: %v\n", why)
}

// counted returns the part of the help text that lists the recorded calls.
func counted() string {
	return "scm sees the calls " + strings.Join(recorder.Calls(), ", ") + `.
On 386, ppc64le and s390x, it also sees those made with socketcall. It does not see the
payload of other calls, such as send, recv, sendto, recvfrom, read and write.
It can record programs on ` + strings.Join(recorder.Architectures(), ", ") + `.`
}

func traceProgram(args []string, o recorder.Options) error {
	cmd := programCommand(args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	stop := passSignals(&o)
	_, err := recorder.Record(cmd, o)
	stop()
	var exit *recorder.ExitError
	if errors.As(err, &exit) {
		return cli.Exit(exit.Code(), nil)
	}
	return startError(err)
}

// programCommand returns the command that a shell would run, even if PATH contains the current
// directory.
func programCommand(args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	if errors.Is(cmd.Err, exec.ErrDot) {
		cmd.Err = nil
	}
	return cmd
}

// startError returns the error of a command that could not be recorded, with its exit code. Only an error of the search
// for the command or of its exec is about the command.
func startError(err error) error {
	var search *exec.Error
	var start *fs.PathError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &search) && (!errors.As(err, &start) || start.Op != "exec"):
		return cli.Broken(err)
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return cli.Exit(exitNotFound, err)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOEXEC) || errors.Is(err, unix.EISDIR):
		return cli.Exit(exitNotExecutable, err)
	}
	return cli.Broken(err)
}

func traceProcess(pid int, o recorder.Options, p *tracePrinter) error {
	ends := slices.DeleteFunc([]os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}, signal.Ignored)
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	p.failed = stop
	_, err := recorder.Attach(ctx, pid, o)
	p.printStillOpen()
	if err != nil {
		return cli.Broken(fmt.Errorf("process %d: %w", pid, err))
	}
	return nil
}

// A tracePrinter writes calls and, at the end of the trace, what is still open. It stops writing after the first
// error.
type tracePrinter struct {
	out       *os.File
	raw       bool
	json      bool
	stillOpen []*recorder.StillOpen
	err       error
	failed    func() // if set, called after that error
}

func (p *tracePrinter) print(c *recorder.Call) {
	p.write(func() ([]byte, error) { return c.JSON(p.raw) }, func() string { return CallText(c, p.raw) })
}

func (p *tracePrinter) printStillOpen() {
	for _, o := range p.stillOpen {
		p.write(o.JSON, func() string { return fmt.Sprintf("%d %s", o.Process.PID, display.Line(o.Text())) })
	}
}

// write writes the object with --json, and otherwise the text.
func (p *tracePrinter) write(object func() ([]byte, error), text func() string) {
	var line []byte
	switch {
	case p.err != nil:
		return
	case p.json:
		line, p.err = object()
		line = display.JSON(line)
	default:
		line = []byte(text())
	}
	if p.err == nil {
		_, p.err = p.out.Write(append(line, '\n'))
	}
	if p.err != nil && p.failed != nil {
		p.failed()
	}
}

// CallText returns a call as a line and, if raw is true, its memory in the lines below.
func CallText(c *recorder.Call, raw bool) string {
	text := fmt.Sprintf("%d %s", c.Thread, display.Line(c.Text()))
	if raw {
		text += "\n" + strings.TrimSuffix(c.Raw(), "\n")
	}
	return text
}

// close closes the output, and reports if the trace is incomplete.
func (p *tracePrinter) close() {
	if p.out != os.Stderr {
		p.err = errors.Join(p.err, p.out.Close())
	}
	if p.err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "scm: the trace is incomplete:", p.err)
	}
}
