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

const privileges = `A set-user-ID or set-group-ID program, or one with file capabilities, such as sudo or
fusermount3, does not get its privileges when a traced process starts it, unless root
runs scm. It may then pass other descriptors than without scm, or none.`

// blind is the part of the help text that lists the messages and calls that the recorder cannot
// see.
const blind = `scm does not see messages that a process sends or receives with io_uring, messages of a
child made with CLONE_UNTRACED, and calls that a seccomp filter of the program rejects.
Because of scm's own filter, the recorded calls of such a child fail with ENOSYS, and a
filter of the program cannot use SECCOMP_RET_TRACE. --no-filter avoids these two effects.

scm reads memory at the entry and at the exit of a call. Another thread can change the
memory before the kernel reads it, so scm is no protection against the program. Traced
processes cannot trace each other. A signal that the program ignores interrupts a traced
call that waits. If the socket has a timeout (SO_RCVTIMEO, SO_SNDTIMEO), the call then
fails with EINTR. The program waits while scm cannot write its output, or cannot read a
page of memory.`

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

After a descriptor, < and > enclose its kind, its file and its access mode: read, write,
read-write or path. A received descriptor without the words close-on-exec is inherited
across an exec. "not looked up", "close-on-exec unknown" and "control unreadable" mean
that scm could not read /proc or the memory of the process, for example because it is
not dumpable. JSON then contains open null, unread or control_unread.

At its end, the trace lists the received descriptors that were still open when their
process ended, and those that an exec passed on to another program:

  8008 exit: still open 6<regular /etc/hosts, read>, descriptor 2 of 2 from
  recvmsg(4<unix stream socket:[3750]>)
  8010 exec /usr/bin/true: passed on 6<regular /etc/hosts, read>, descriptor 2
  of 2 from recvmsg(4<unix stream socket:[3750]>) of process 8008

A line starts with the process that had the descriptor. That process may have inherited
it from the one that received it. Processes that share a descriptor table are listed once,
when the last of them ends. A process that has stopped sharing its table, with unshare(2)
or close_range(2), still counts as one of them, so only the descriptors of the last one
are listed. "2 of 2" counts the descriptors that the call received. The program may have
asked for fewer, because a buffer for one descriptor can have space for two.

scm finds a descriptor by its file. If the program has moved it to another value, as with
dup(2), the line shows the new value, and the old one after "received as". If the program
opens the same file itself, scm can take that descriptor for the received one. scm does not
find a moved descriptor if the program has also closed another descriptor for the same
file, or if the descriptor table is larger than 512 entries.

Anonymous files, such as eventfds, epoll instances, timerfds and pidfds, share one inode.
scm finds one only at the value with which it was received. If the program has closed it
and then created another of the same kind, which got the same value, scm lists that one.
The same is true of devices that create a file for each open, such as /dev/ptmx. "perhaps"
means that the file is one of these, that it has another name now, because it was renamed
or deleted or is not the received one, or that scm could not read /proc.

In JSON, payloads, control data and addresses are hexadecimal. recorded is the number of
payload bytes in the object (at most 1 MiB per buffer and 16 MiB per call). file_hex and
program_hex are paths that are not UTF-8. If a message contains more than 253 descriptors,
which the kernel rejects, the first 253 are described.

In the list at the end, each JSON object has event (exit, exec or running) instead of
call. Its other fields are pid, program (what was executed), perhaps (true if the text
contains this word), descriptor and received. received contains the pid, tid, call and
socket of the receive, fd (the value of the descriptor at that time), count (how many
descriptors the call received) and index (which of them this is, from 1).

` + counted() + `

The trace ends when COMMAND and its children have ended. scm forwards HUP, INT, QUIT,
TERM, USR1 and USR2 to COMMAND. Before COMMAND has started and after it has ended, the
first four end scm. If scm is killed, COMMAND and its children are killed too.

With -p, HUP, INT and TERM end the trace, and the process runs on. The list then contains
those descriptors received during the trace that are still open:

  8008 running: open 6<regular /etc/hosts, read>, descriptor 2 of 2 from
  recvmsg(4<unix stream socket:[3750]>)

The process also runs on if scm is killed. It is slow while it is traced, because it is
stopped at each system call. The beginning and the end of the trace interrupt calls that
wait. epoll_wait(2) and some others (see signal(7)) then fail with EINTR. A child that
another process traces is not traced, and is reported on standard error.

If scm is in the foreground of a terminal, it does not forward HUP, INT and QUIT, because
COMMAND gets them from the terminal. Use TERM, or setsid(1), which also keeps scm from
receiving signals that COMMAND sends to its process group.

` + blind + `

` + privileges + `

` + cli.Inherited + `

Exit status: that of COMMAND, 128 plus the signal that ended it, 127 if it was not found,
126 if it could not be executed, 2 for wrong usage, and 4 if the trace could not be set
up, or could not be written and COMMAND has exited with status 0. With -p: 0 if the
process has ended, or HUP, INT or TERM has ended the trace, and 4 if the process could not
be traced or the trace could not be written. If it has not ended, it then runs on.`

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
