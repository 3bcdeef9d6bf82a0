package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/display"
	"github.com/spf13/cobra"
)

func diffCommand() *cobra.Command {
	var all, noFilter bool
	cmd := &cobra.Command{
		Use:   "diff [flags] -- COMMAND_A [ARG]... --- COMMAND_B [ARG]...",
		Short: "Tell whether two programs say the same thing to the kernel when they pass descriptors",
		Long: `Run both commands, one after the other, and report the first difference between
the calls by which they and their children send and receive messages: the byte
and its field.

  different: call 1 of process 1 (sendmsg), at its entry: padding after
  cmsg_data: 00000000 against 7f3a0000 (byte 20 of control)

` + counted() + `

Calls on other sockets than Unix sockets, which pass no descriptors, count for nothing.
Of the others all is compared, padding too, but for what differs from run to run: no time
that a receipt brings (SO_TIMESTAMP and its kin) counts; of an address counts whether it
is NULL; of a descriptor its kind, whether it was opened to read, to write or as a path
(O_NONBLOCK, O_APPEND and its like, which any process that has the file can change, do
not count), whether a received one is close-on-exec, and as the how many-th of its process
it appears (each received one is another, whatever its number); of a process as the how
many-th it appears, and so for an abstract name of five hexadecimal digits, which is
what the kernel chooses for a socket without a name. Buffers for a receipt are compared
as far as the kernel has filled them. Of a payload that is sent the first MiB of each
buffer is compared, up to 16 MiB of a call, and the rest as far as the kernel has taken
it, by a sum of each buffer (SHA-256). Processes are paired by their place in the tree;
those that make none of the calls count for nothing.

A program can close a descriptor and get its number again for another file. scm sees this
if the kinds of the two files differ, and for sockets, pipes and memfds by the inode. It
takes two regular files, or two eventfds, on one number for one descriptor. A program that
opens the second file before it closes the first gets another number, and differs.

The calls of a process are compared in the order in which its threads make them. If
several threads make some, that order can change from run to run, and a program can
differ from itself: compare it with itself first. Time can also decide:
- where several processes make calls: which of them receives a message, or sends first;
- how many bytes of a stream a receive finds or a send has room for, and whether a receive
  that does not wait finds any;
- which call comes next: of a program that polls several sockets, or that another process
  kills.
A program also differs from itself where it leaves bytes unset that the kernel ignores:
padding, and msg_flags and msg_len before the call; and where it computes the timeout of
recvmmsg from the clock. The report of a difference says which of this may be so.

Memory that scm cannot read, such as that of memfd_secret(2), is not compared, nor are
descriptors that it cannot look up. Both are so of a process that is not dumpable, unless
scm has CAP_SYS_PTRACE. After such a descriptor the order of appearance does not count.
Memory that scm can read of one command only is reported as a difference. If nothing else
differs, "not compared" says so, and the exit status is 4. What the kernel could not read
either (EFAULT) does not count.

Nor is compared what scm cannot record: what a process sends and receives by io_uring;
the calls of a child that is made with CLONE_UNTRACED; and those that a seccomp filter
of the program refuses. That filter also does not get to trace a call (SECCOMP_RET_TRACE):
the call is made. With --no-filter the program's seccomp filters work as they do without
scm, and the calls that they refuse are recorded. A process that does any of this is
named on standard error, and the exit status is not 0 but 4. But scm is no guard against
the programs that it compares: one that means to can hide what it passes.

A call that waits can fail with EINTR in a traced program where it would not alone: a
signal that is ignored, such as SIGCHLD by default, interrupts it too, and the kernel
does not make it again where the socket has a timeout (SO_RCVTIMEO, SO_SNDTIMEO).

Both get the same standard input. What they print goes to standard error. The
records, with the payloads, and an input from a pipe, all of it, whatever the commands
read, are kept in files without a name in the folder TMPDIR (/tmp): they take room there.
In memory are some 0.7 kB for each recorded call, and all of the two calls under
comparison, which for sendmmsg or recvmmsg of 1024 messages with 1024 buffers each is
more than 2 GB.

A signal to the process group of scm, such as COMMAND sends by kill 0, reaches scm too,
which takes it for its own: HUP, INT, QUIT and TERM go to COMMAND, and when that has ended,
end the comparison. Run COMMAND by setsid(1) to keep such signals from scm.

` + privileges + `

` + inherited + `

Exit status: 0 the same, 1 different, 2 wrong usage, 4 a command could not be
recorded, neither made a call to compare, or not all could be compared; 128 and its
number after a signal.`,
		Example: `  scm diff -- ./client-in-c --- ./client-in-go
  scm diff -- ./client --- env LD_PRELOAD=./new.so ./client`,
		RunE: func(cmd *cobra.Command, args []string) error {
			at := slices.Index(args, "---")
			if at <= 0 || at == len(args)-1 {
				return errors.New("diff needs two commands: -- COMMAND_A --- COMMAND_B")
			}
			return diff(cmd, args[:at], args[at+1:], all, noFilter)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVar(&all, "all-memory", false, "compare also what the kernel neither reads nor writes of the buffers for a receipt")
	cmd.Flags().BoolVar(&noFilter, "no-filter", false, "use no seccomp filter: slower, for programs that use seccomp themselves")
	return cmd
}

func diff(cmd *cobra.Command, a, b []string, all, noFilter bool) error {
	in, err := newInput(os.Stdin)
	if err != nil {
		return broken(fmt.Errorf("standard input: %w", err))
	}
	var records [2]*recorder.Spool
	escaped := false
	for i, args := range [][]string{a, b} {
		if records[i], err = recorder.NewSpool(); err != nil {
			return broken(err)
		}
		defer func() { _ = records[i].Close() }()
		o := recorder.Options{Rest: true, NoFilter: noFilter, Handle: func(c *recorder.Call) {
			if !c.OnOtherSocket() {
				records[i].Add(c)
			}
		}}
		o.Escapes = func(pid int, what string) {
			escaped = true
			_, _ = fmt.Fprintf(os.Stderr, "scm: %s: process %d %s\n", args[0], pid, what)
		}
		if err := record(args, in, o); err != nil {
			return err
		}
	}
	if records[0].Len() == 0 && records[1].Len() == 0 {
		return broken(errors.New("neither command made a call that can carry descriptors: nothing was compared"))
	}
	comparison := recorder.OfSaid
	if all {
		comparison.Said = nil
	}
	d, err := comparison.First(records[0], records[1])
	if err != nil {
		return broken(err)
	}
	if d == nil && escaped {
		return broken(errors.New("not compared: calls that are not recorded; those that are, are the same"))
	}
	if d == nil {
		calls := "calls"
		if records[0].Len() == 1 {
			calls = "call"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "same: %d %s\n", records[0].Len(), calls)
	} else {
		text := fmt.Sprintf("different: %v\n  A: %v\n  B: %v\n%s", d, orNone(d.A), orNone(d.B), notes(d))
		_, err = fmt.Fprint(cmd.OutOrStdout(), display.Readable(text))
	}
	switch {
	case err != nil:
		return broken(err)
	case d != nil:
		return &exitError{code: exitFail}
	}
	return nil
}

// notes says why the difference may be one of the run and not of the programs.
func notes(d *recorder.Difference) string {
	has := func(fields ...string) bool {
		return slices.ContainsFunc(fields, func(f string) bool { return strings.Contains(d.Field, f) })
	}
	result := func(call string) bool {
		return d.Field == "the result" && strings.HasPrefix(d.A.Name(), call)
	}
	text := ""
	for _, note := range []struct {
		applies bool
		text    string
	}{
		{d.Threads, "The process has several threads that make calls: their order can change from run to run."},
		{d.Several, "Several processes make calls: which of them makes one, and which first, can change from run to run."},
		{d.Field == "the call", "Which call comes next, or whether one does, can change from run to run."},
		{result("recv"), "What a receive finds, of a stream or without waiting, can change from run to run."},
		{result("send"), "What a send finds room for, of a stream or without waiting, can change from run to run."},
		{has("padding") || d.When == "entry" && has("msg_flags", "msg_len"), "The kernel ignores these bytes: a program that leaves them unset can differ from itself."},
		{d.Where == "timeout", "A timeout that a program computes from the clock changes from run to run."},
	} {
		if note.applies {
			text += note.text + "\n"
		}
	}
	return text
}

func orNone(c *recorder.Call) string {
	if c == nil {
		return "no more calls"
	}
	return c.Text()
}

// record runs one of the commands.
func record(args []string, in *input, o recorder.Options) error {
	cmd := programCommand(args)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	var err error
	if cmd.Stdin, err = in.open(); err != nil {
		return broken(fmt.Errorf("standard input: %w", err))
	}
	stop := passSignals(&o)
	_, err = recorder.Record(cmd, o)
	got := stop()
	in.close()
	if err := in.failed(); err != nil {
		return broken(fmt.Errorf("keeping standard input: %w", err))
	}
	if got != 0 {
		return &exitError{code: 128 + int(got)}
	}
	var exit *recorder.ExitError
	if errors.As(err, &exit) {
		_, _ = fmt.Fprintf(os.Stderr, "scm: %s: %v\n", args[0], exit) // what it said is compared all the same
	} else if err != nil {
		return broken(err)
	}
	return nil
}
