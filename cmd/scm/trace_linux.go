package main

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

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/display"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const privileges = `A program that is set-user-ID, set-group-ID or has file capabilities, such as sudo or
fusermount3, does not get its privileges when a traced process starts it, unless root
runs scm: what it then passes, or cannot, is not what it would without scm.`

// blind is what the recorder does not see, for the help.
const blind = `scm does not see what a process sends and receives by io_uring, what a child passes that
is made with CLONE_UNTRACED, nor a call that a seccomp filter of the program refuses; with
its own filter, such a child gets ENOSYS, and that of the program does not get to trace a
call: --no-filter changes these two. What is shown is the memory when scm reads it, at the
entry of the call or at its exit: a thread can change it before the kernel reads it. scm is
no guard against the program. What it traces cannot trace each other. A signal that
is ignored interrupts a traced call that waits, and where the socket has a timeout
(SO_RCVTIMEO, SO_SNDTIMEO) the call fails with EINTR. While nobody reads what scm prints,
or a page of memory does not come, the program waits with scm.`

// Exit codes for a command that could not be started, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// recorderMain is the recorder's part of main.
func recorderMain() { recorder.Main() }

func traceCommand() *cobra.Command {
	var p tracePrinter
	var output string
	var pid int
	var all bool
	var o recorder.Options
	cmd := &cobra.Command{
		Use:   "trace [flags] {-- COMMAND [ARG]... | -p PID}",
		Short: "Print the messages with ancillary data of a program and its children",
		Long: `Print every message with ancillary data (descriptors, credentials) that COMMAND
and its children send or receive, a line each: the thread, the call, its socket,
the payload, the ancillary data, the flags, the result, the flags received.

  8008 recvmsg(4<unix stream socket:[3750]>, "\x00", SCM_RIGHTS [5<regular
  /etc/hosts, read> close-on-exec], MSG_CMSG_CLOEXEC) = 1 MSG_CMSG_CLOEXEC

A descriptor is its number in the process, and between < and > its kind, its
file and how that was opened: to read, to write or as a path. A received one without the
words close-on-exec would be handed on by an exec. "not looked up", "close-on-exec unknown" and "control
unreadable" are that scm could not ask /proc or read the memory, as of a process that is
not dumpable; JSON then has open null, unread or control_unread. In JSON payloads, control
data and addresses are hexadecimal digits, recorded is how many bytes of the payload are
there (1 MiB of a buffer, 16 MiB of a call at most), and file_hex is the name of a file
that is not UTF-8. Of more than 253 descriptors in a message, which the kernel refuses,
the first 253 are described.

` + counted() + `

The trace ends with the last of them. HUP, INT, QUIT, TERM, USR1 and USR2, sent to
scm, go to COMMAND; before it has started, and once it has ended, the first four end
scm. If scm is killed, so are COMMAND and its children. With -p HUP, INT and TERM end
the trace, and the process runs on, as it does if scm is killed; until then it is slow,
for it is stopped at each of its calls. The beginning and the end of the trace interrupt
its calls that wait: epoll_wait(2) and some others then fail with EINTR (signal(7) lists
them). A child that another process traces is left out and named on standard error.
HUP, INT and QUIT that scm gets in the foreground of a terminal do not reach COMMAND,
which has them from the terminal; use TERM, or setsid(1), which also keeps signals that
COMMAND sends to its process group from scm.

` + blind + `

` + privileges + `

` + inherited + `

Exit status: COMMAND's own, 128 and the number if a signal ended it, 127 if it
was not found and 126 if it could not be executed; 2 wrong usage, 4 the trace
could not be set up. With -p: 0 when the process has ended, or when a signal
has ended the trace, and 4 when the trace cannot be written: the process runs on.`,
		Example: `  scm trace -- ./server --port 80
  scm trace --raw -o server.trace -- ./server
  scm trace --json -p 4711`,
		RunE: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) == (pid == 0) || pid < 0 {
				return errors.New("trace needs either a COMMAND or -p PID")
			}
			p.out = os.Stderr
			if output != "" {
				f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666) // a FIFO needs a reader
				if err != nil {
					return broken(err)
				}
				p.out = f
			}
			if !p.raw && !p.json {
				o.Limit = recorder.TextBytes
			}
			o.Ancillary = !all
			o.Handle = p.print
			o.LeftOut = func(pid int, why error) {
				_, _ = fmt.Fprintf(os.Stderr, "scm: process %d is not in the trace: %v\n", pid, why)
			}
			// Once nobody reads the trace, the command runs on without it.
			signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
			if pid != 0 {
				return traceProcess(pid, o, &p)
			}
			err := traceProgram(args, o)
			p.close()
			return err
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&output, "output", "o", "", "write to `FILE` in place of standard error")
	f.BoolVar(&p.raw, "raw", false, "add the memory in hexadecimal, with a ruler over the fields")
	f.BoolVar(&p.json, "json", false, "print one object a line")
	f.BoolVar(&all, "all", false, "print messages without ancillary data too")
	f.BoolVar(&o.NoFilter, "no-filter", false, "use no seccomp filter: slower, for programs that use seccomp themselves")
	f.IntVarP(&pid, "pid", "p", 0, "trace the running process `PID`, its threads and its children")
	return cmd
}

// counted is which calls count, for the help.
func counted() string {
	return "The calls that count are " + strings.Join(recorder.Calls(), ", ") + `,
in 32-bit programs by socketcall too. Payload that is passed by others, such as send,
recv, sendto, recvfrom, read and write, is not among what scm sees.`
}

func traceProgram(args []string, o recorder.Options) error {
	cmd := programCommand(args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	stop := passSignals(&o)
	_, err := recorder.Record(cmd, o)
	stop()
	var exit *recorder.ExitError
	if errors.As(err, &exit) {
		return &exitError{code: exit.Code()}
	}
	return startError(err)
}

// programCommand is the command that a shell would run, also where PATH leads to the current
// folder.
func programCommand(args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	if errors.Is(cmd.Err, exec.ErrDot) {
		cmd.Err = nil
	}
	return cmd
}

// startError gives the error of a command that was not run its exit code.
func startError(err error) error {
	var forbidden *recorder.ForbiddenError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &forbidden):
		return broken(err)
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return &exitError{exitNotFound, err}
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOEXEC) || errors.Is(err, unix.EISDIR):
		return &exitError{exitNotExecutable, err}
	}
	return broken(err)
}

func traceProcess(pid int, o recorder.Options, p *tracePrinter) error {
	ends := slices.DeleteFunc([]os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}, signal.Ignored)
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	p.failed = stop
	_, err := recorder.Attach(ctx, pid, o)
	p.close()
	if err != nil {
		return broken(fmt.Errorf("process %d: %w", pid, err))
	}
	if p.err != nil {
		return &exitError{code: exitBroken}
	}
	return nil
}

// A tracePrinter writes calls. After the first error it is silent.
type tracePrinter struct {
	out    *os.File
	raw    bool
	json   bool
	line   []byte
	err    error
	failed func() // if set, is called after that error
}

func (p *tracePrinter) print(c *recorder.Call) {
	if p.err != nil {
		return
	}
	if p.err = p.write(c); p.err != nil && p.failed != nil {
		p.failed()
	}
}

func (p *tracePrinter) write(c *recorder.Call) error {
	if p.json {
		object, err := c.JSON(p.raw)
		if err != nil {
			return err
		}
		p.line = append(p.line[:0], display.JSON(object)...)
	} else {
		p.line = appendCall(p.line[:0], c, p.raw)
	}
	p.line = append(p.line, '\n')
	_, err := p.out.Write(p.line)
	return err
}

// appendCall appends a call as a line, and as more of them if it is to be raw, but
// for the last end of a line.
func appendCall(b []byte, c *recorder.Call, raw bool) []byte {
	b = fmt.Appendf(b, "%d %s", c.Thread, display.Line(c.Text()))
	if raw {
		b = append(b, "\n"+strings.TrimSuffix(c.Raw(), "\n")...)
	}
	return b
}

// close says if the trace is not whole. The exit status is that of a command all the same.
func (p *tracePrinter) close() {
	if p.out != os.Stderr {
		p.err = errors.Join(p.err, p.out.Close())
	}
	if p.err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "scm: the trace is not whole:", p.err)
	}
}
