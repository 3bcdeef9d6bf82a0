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
that a receive brings (SO_TIMESTAMP and its kin) counts; of an address counts whether it
is NULL; of a descriptor its kind, whether it was opened to read, to write or as a path,
whether a received one is close-on-exec, and as the how many-th of its process it appears
(each received one is another, whatever its number); of a process as the how many-th it
appears, and so for an abstract name of five hexadecimal digits, which is what the kernel
chooses. Buffers for a receive are compared as far as the kernel has filled them. Of a
payload the first 4 KiB of each buffer are compared, and the rest as far as the kernel
has taken it, by a sum of each buffer (SHA-256). Processes are paired by their place in
the tree; those that make none of the calls count for nothing. Two regular files, or two
eventfds, one after the other on one number are taken for one descriptor.

The calls of a process are compared in the order in which its threads make them. Where
several threads or several processes make some, where a program polls, where a stream has
more or less bytes or room, and where a program leaves bytes unset that the kernel ignores
(padding, msg_flags and msg_len before the call) it can differ from itself: compare it
with itself first. The report of a difference says which of this may be so.

Memory that scm cannot read, such as that of memfd_secret(2), and descriptors that it
cannot look up, as of a process that is not dumpable, are not compared: if nothing else
differs, "not compared" says so, and the exit status is 4.

Both get the same standard input: scm diff first reads a pipe to its end, into a file
without a name in the folder TMPDIR (/tmp), which both read. What they print goes to
standard error. HUP, INT, QUIT and TERM go to the command that runs, and end the comparison.

` + blind + `

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
	var records [2][]recorder.Call
	unread := 0
	for i, args := range [][]string{a, b} {
		o := recorder.Options{Limit: 4096, Sum: true, NoFilter: noFilter, Handle: func(c *recorder.Call) {
			if c.OnOtherSocket() {
				return
			}
			records[i] = append(records[i], *c)
			if !c.Whole() {
				unread++
			}
		}}
		if err := record(args, in, o); err != nil {
			return err
		}
	}
	if len(records[0]) == 0 && len(records[1]) == 0 {
		return broken(errors.New("neither command made a call that can carry descriptors: nothing was compared"))
	}
	comparison := recorder.UsedMemory
	if all {
		comparison.UsedOnly = nil
	}
	d := comparison.First(records[0], records[1])
	if d == nil && unread > 0 {
		return broken(fmt.Errorf("not compared: %d calls whose memory could not be read, or whose descriptors "+
			"could not be looked up; all else is the same", unread))
	}
	if d == nil {
		calls := "calls"
		if len(records[0]) == 1 {
			calls = "call"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "same: %d %s\n", len(records[0]), calls)
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
	stdin, err := in.open()
	if err != nil {
		return broken(fmt.Errorf("standard input: %w", err))
	}
	if stdin != os.Stdin {
		defer stdin.Close()
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, os.Stderr, os.Stderr
	stop := passSignals(&o)
	_, err = recorder.Record(cmd, o)
	got := stop()
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
