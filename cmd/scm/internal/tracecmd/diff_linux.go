package tracecmd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/display"
	"github.com/spf13/cobra"
)

var diffHelp = `Run both commands, one after the other, and report every difference between the
calls by which they and their children send and receive messages. The report
shows the first one with its calls, and then lists all of them, in the order in which
the first program makes the calls. Without -v, it only counts differences of other
processes after a call that one program alone makes, which can be their cause.

  different: call 1 of process 2, helper (recvmsg), at its entry: flags: 0 against
  MSG_CMSG_CLOEXEC
  ...
  --allow 'recvmsg: flags: 0 against MSG_CMSG_CLOEXEC' (2 calls of process 2, helper)

With --allow, the difference does not count. For flags, for the fields of msghdr and
iovec, and for close-on-exec, --allow 'CALL: FIELD' allows any two values. --allow
'sendmsg: payload[1:4] of 16' allows any values of bytes 1 to 3 in each payload buffer of
16 bytes, and 'sendmsg: payload 1[1:4] of 16' only in the second buffer of a message. The
same field before the call and on return counts as two fields. The report names allowed
differences that did not occur. If a line allows B to set MSG_CMSG_CLOEXEC or
close-on-exec, each descriptor that another program receives in B must be close-on-exec.
To allow one that is not, use a line with both values.

A line applies to every call with its name, unless it begins with the numbers of calls, as
below. A line that has call numbers but no buffer number applies only to messages with one
buffer:

  --allow 'call 3 of process 2, recvmsg: flags'
  --allow 'calls 3-9 of connection 1, sendmsg: payload[1:4] of 16'

` + counted() + `

Exit statuses, output, and calls that pass no descriptors (read, write) are not compared,
nor are calls on sockets that are not Unix sockets. So a descriptor that is closed late,
or opened without O_CLOEXEC, is not found. All other calls are compared
completely, except for bytes that the kernel ignores and values that differ from run to
run:

- Padding, msg_flags (except in sendmmsg) and msg_len before the call, and msg_namelen
  if msg_name is NULL, are not counted. If other bytes differ, or with -v, the report
  names those that differ. --padding counts them.
- Times of received messages (SO_TIMESTAMP and similar options) are ignored.
- An address is only compared with NULL.
- What a call received is not compared if the other run's call ended in another way, as
  the result says.
- A descriptor is compared by its kind, its access mode (read, write or path) and, if it
  was received, by close-on-exec. Its value is replaced by a count in the order of first
  appearance in its process. Each received descriptor is a new one.
- A process ID is replaced by a count in the order of first appearance, and so is an
  abstract name of five hexadecimal digits, as the kernel chooses them.
- Buffers for a receive are compared as far as the kernel has filled them, and messages of
  recvmmsg only if both runs received them.
- The first 4 KiB of each payload buffer are compared. The rest, as far as the kernel
  has sent or received it, is compared by its SHA-256.

If a process makes the same calls in both runs, scm also compares the received descriptors
that were still open when a process ended, and those that an exec passed on. "scm trace
--help" describes how it finds them.

  different: call 2 of process 1, client (recvmsg): received descriptor 2 at the exit
  of process 1: no longer open against still open

Processes are paired by their place in the tree, without those that make none of the
calls. --process N compares only one of them, and N:M pairs two places. It hides what
the process sends with send or write, which is seen only where the partner receives it
with recvmsg. --by connection compares the calls on each socket, whichever process makes
them, in the order of the first message. Only sockets, pipes and memfds are then counted
in the order of first appearance. A descriptor that was received by another program in B
counts if it is still open in B, whatever A does. Several clients at once connect in
another order in each run, so use one. Two regular files, or two eventfds, that have the
same descriptor one after the other are taken for one.

The calls of a process are compared in the order in which its threads make them, up to a
call that the other run does not have there. If --allow allows that difference, scm
reports "not compared", because it has not compared the calls after it. A program can
differ from itself if several threads or several processes make calls, if it polls, or
if the number of bytes or the free space in a stream varies. The report says which of
these reasons may apply.

--self-test runs A until two runs in a row change no further payload bytes, but at most
ten times. It allows the bytes that changed, such as padding in a struct, and lists them
as --allow lines. Each line is for one buffer in consecutive calls, not counting calls
that have no such buffer. If the last of ten runs has changed further bytes, the report
says that the list is not complete. The list never contains bytes after the first 4 KiB of
a buffer. To allow those of a 5000-byte buffer, add
--allow 'sendmsg: payload[4096:5000] of 5000'. If A differs from itself in anything else,
scm reports "not compared".

Memory that scm cannot read, such as that of memfd_secret(2), and descriptors that it
cannot look up, such as those of a process that is not dumpable, are not compared. If
no other difference counts, scm reports "not compared" and exits with status 4.

Both commands get the same standard input. If it is a pipe, or a file that scm may not
open again, scm first reads it to its end, into an unnamed file in the directory TMPDIR
(/tmp). From a terminal, the second command reads what the first has left. Their output is
written to standard error, or discarded with --quiet. HUP, INT,
QUIT and TERM are forwarded to the running command, and end the comparison.

` + blind + `

` + privileges + `

` + cli.Inherited + `

Exit status: 0 if no difference counts, 1 if one does, 2 for wrong usage, and 4 if a
command could not be recorded, if neither made a call to compare, or if not all could be
compared. After a signal, 128 plus the signal.`

// diffOptions contains the flags of diff.
type diffOptions struct {
	all, noFilter, padding, verbose, quiet, selfTest bool
	allow, process                                   []string
	by                                               string
	comparison                                       recorder.Comparison
	allowed                                          []*recorder.Allowance // the values of allow
	varying                                          []*recorder.Allowance // what --self-test adds
	incomplete                                       bool                  // the last run of --self-test found more
}

// Diff returns the diff command.
func Diff() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [flags] -- COMMAND_A [ARG]... --- COMMAND_B [ARG]...",
		Short: "Compare the system calls by which two programs pass descriptors",
		Long:  diffHelp,
		Example: `  scm diff -- ./client-in-c --- ./client-in-go
  scm diff -- ./client --- env LD_PRELOAD=./new.so ./client`,
		Args: o.validate,
		RunE: o.run,
	}
	o.flags(cmd)
	return cmd
}

func (o *diffOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVar(&o.all, "all-memory", false, "also compare memory in the buffers of a receive that the kernel neither reads nor writes")
	f.BoolVar(&o.noFilter, "no-filter", false, "use no seccomp filter; slower, for programs that use seccomp themselves")
	f.BoolVar(&o.padding, "padding", false, "also count differences in padding and in fields that the kernel ignores")
	f.StringVar(&o.by, "by", "process", "group the calls by `process` or by connection, for a server that forks and one that does not")
	f.BoolVar(&o.selfTest, "self-test", false, "first run the first program three to ten times, and allow the payload bytes that are not the same each time")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "list all differences, and what is not counted")
	f.BoolVar(&o.quiet, "quiet", false, "discard the output of the programs")
	f.StringArrayVar(&o.process, "process", nil, "compare only process `N`, which the report numbers, or N of the first and M of the second program (N:M); can be repeated")
	f.StringArrayVar(&o.allow, "allow", nil, "allow a `difference`, as it is printed; can be repeated")
}

func (o *diffOptions) validate(_ *cobra.Command, args []string) error {
	if at := slices.Index(args, "---"); at <= 0 || at == len(args)-1 {
		return errors.New("diff needs two commands, separated by ---")
	}
	o.comparison = recorder.UsedMemory
	if o.all {
		o.comparison.UsedOnly = nil
	}
	o.comparison.ByConnection = o.by == "connection"
	if o.by != "process" && !o.comparison.ByConnection {
		return fmt.Errorf("--by needs process or connection: %q", o.by)
	}
	for _, numbers := range o.process {
		inA, inB, ok := strings.Cut(numbers, ":")
		if !ok {
			inB = inA
		}
		a, errA := strconv.Atoi(inA)
		b, errB := strconv.Atoi(inB)
		listed := &o.comparison.Processes
		if errA != nil || errB != nil || a < 1 || b < 1 || slices.Contains(listed[0], a) || slices.Contains(listed[1], b) {
			return fmt.Errorf("--process needs N or N:M, with numbers from 1, each of them once: %q", numbers)
		}
		listed[0], listed[1] = append(listed[0], a), append(listed[1], b)
	}
	for _, line := range o.allow {
		a, err := recorder.ParseAllowance(line)
		if err == nil {
			err = o.comparison.Allow(a)
		}
		if err != nil {
			return fmt.Errorf("--allow %w: %q", err, line)
		}
		o.allowed = append(o.allowed, a)
	}
	return nil
}

func (o *diffOptions) run(cmd *cobra.Command, args []string) error {
	in, err := newInput(os.Stdin)
	if err != nil {
		return cli.Broken(fmt.Errorf("standard input: %w", err))
	}
	at := slices.Index(args, "---")
	a, err := o.record(args[:at], in)
	if err != nil {
		return err
	}
	if o.selfTest {
		if err = o.compareWithItself(cmd, a, args[:at], in); err != nil {
			return err
		}
	}
	b, err := o.record(args[at+1:], in)
	if err != nil {
		return err
	}
	unread := o.findUnread(a, b)
	if unread != (unreadParts{}) {
		a.StillOpen, b.StillOpen = nil, nil
	}
	found := o.comparison.Compare(a, b)
	report := newDiffReport(o)
	report.add(found)
	if err := o.notCompared(a, b, found, unread, len(report.counted) > 0); err != nil {
		return cli.Broken(err)
	}
	comparedA, comparedB := o.comparison.Count(a.Calls, b.Calls)
	fmt.Fprint(cmd.OutOrStdout(), display.Readable(report.text(comparedA)))
	if allA, allB := (recorder.Comparison{}).Count(a.Calls, b.Calls); allA+allB > comparedA+comparedB {
		fmt.Fprintf(cmd.OutOrStdout(), "left out by --process: %s of A, %d of B\n", display.Plural(allA-comparedA, "call"), allB-comparedB)
	}
	if len(report.counted) == 0 {
		return nil
	}
	return cli.Exit(cli.ExitFail, nil)
}

// unreadParts counts what scm could not read in both runs.
type unreadParts struct{ calls, files int }

func (o *diffOptions) findUnread(a, b recorder.Recording) (n unreadParts) {
	for _, c := range slices.Concat(a.Calls, b.Calls) {
		if !o.comparison.Whole(&c) {
			n.calls++
		}
	}
	for _, open := range slices.Concat(a.StillOpen, b.StillOpen) {
		if open.File.Errno != 0 {
			n.files++
		}
	}
	return n
}

// notCompared returns why the comparison says nothing: there was nothing to compare or, unless a difference counts,
// scm has not compared everything. It returns nil if the comparison says something.
func (o *diffOptions) notCompared(a, b recorder.Recording, found []*recorder.Difference, unread unreadParts, differ bool) error {
	for i, numbers := range o.process {
		one := o.comparison
		one.Processes = [2][]int{one.Processes[0][i : i+1], one.Processes[1][i : i+1]}
		if inA, inB := one.Count(a.Calls, b.Calls); inA+inB == 0 {
			return fmt.Errorf("--process %s: neither command has such a %s that made a call to compare", numbers, o.by)
		}
	}
	inA, inB := o.comparison.Count(a.Calls, b.Calls)
	switch {
	case inA+inB == 0:
		return errors.New("neither command made a call that can carry descriptors: nothing was compared")
	case differ:
		return nil
	case slices.ContainsFunc(found, (*recorder.Difference).Ends):
		return errors.New("not compared: --allow permits a missing call, and what follows it")
	case unread.calls > 0:
		return fmt.Errorf("not compared: %d calls whose memory could not be read, or whose descriptors "+
			"could not be looked up; all other calls are the same", unread.calls)
	case unread.files > 0:
		return fmt.Errorf("not compared: %d received descriptors that could not be looked up when their process "+
			"ended or executed another program; the calls are the same", unread.files)
	}
	return nil
}

// mostRuns is the maximum number of times that --self-test runs A, including the run that is compared with B.
const mostRuns = 10

// compareWithItself runs A until two runs in a row change no further bytes, and allows the payload bytes that are
// not the same each time. It prints any other difference.
func (o *diffOptions) compareWithItself(cmd *cobra.Command, a recorder.Recording, args []string, in *input) error {
	itself := o.comparison
	itself.Processes[1] = itself.Processes[0]
	varies := recorder.Variation{}
	for runs, repeated := 1, 0; runs < mostRuns && repeated < 2; runs++ {
		again, err := o.record(args, in)
		if err != nil {
			return err
		}
		report := newDiffReport(o)
		found := slices.DeleteFunc(itself.Compare(a, again), func(d *recorder.Difference) bool { return report.allows(d) != nil })
		others, more := varies.Add(found)
		report.add(others)
		if len(report.counted) > 0 {
			fmt.Fprint(cmd.OutOrStdout(), display.Readable(report.text(0)))
			return cli.Broken(errors.New("not compared: the first program differs from itself"))
		}
		if repeated++; more {
			repeated = 0
		}
		o.incomplete = more
	}
	o.varying = o.comparison.AllowVariation(a.Calls, varies)
	return nil
}

// record runs and records one of the commands.
func (o *diffOptions) record(args []string, in *input) (r recorder.Recording, err error) {
	options := recorder.Options{Limit: 4096, Sum: true, NoFilter: o.noFilter}
	options.Handle = func(c *recorder.Call) {
		if !c.OnOtherSocket() {
			r.Calls = append(r.Calls, *c)
		}
	}
	options.StillOpen = func(found *recorder.StillOpen) { r.StillOpen = append(r.StillOpen, found) }
	cmd := programCommand(args)
	stdin, err := in.open()
	if err != nil {
		return r, cli.Broken(fmt.Errorf("standard input: %w", err))
	}
	if stdin != os.Stdin {
		defer stdin.Close()
	}
	cmd.Stdin = stdin
	if !o.quiet {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	stop := passSignals(&options)
	_, err = recorder.Record(cmd, options)
	if got := stop(); got != 0 {
		return r, cli.Exit(cli.ExitSignal+int(got), nil)
	}
	var exit *recorder.ExitError
	if errors.As(err, &exit) {
		_, _ = fmt.Fprintf(os.Stderr, "scm: %s: %v\n", args[0], exit) // its calls are compared anyway
	} else if err != nil {
		return r, cli.Broken(err)
	}
	return r, nil
}
