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
shows the first difference with its calls, and then lists all of them.

  different: call 1 of process 2, helper (recvmsg), at its entry: flags: 0 against
  MSG_CMSG_CLOEXEC
  ...
  --allow 'recvmsg: flags: 0 against MSG_CMSG_CLOEXEC' (2 calls of process 2, helper)

With --allow, a difference does not count. --self-test runs A several times, and allows
the bytes that change from run to run.

` + counted() + `

Exit statuses, output, and calls that pass no descriptors (read, write) are not compared.
Both commands get the same standard input, and their output is written to standard error.

` + page + `

Exit status: 0 if no difference counts, 1 if one does, 2 for wrong usage, and 4 if a
command could not be recorded, if neither made a call to compare, or if some calls could
not be compared. After a signal, 128 plus the signal.`

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
	f.BoolVar(&o.selfTest, "self-test", false, "first run the first program three to ten times, and allow the payload bytes that change from run to run")
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
			return fmt.Errorf("--process needs N or N:M, with numbers from 1, and each number only once: %q", numbers)
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

func (o *diffOptions) findUnread(a, b recorder.Trace) (n unreadParts) {
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

// notCompared returns why the comparison has no result: there was nothing to compare or, unless a difference counts,
// scm has not compared everything. It returns nil if the comparison has a result.
func (o *diffOptions) notCompared(a, b recorder.Trace, found []*recorder.Difference, unread unreadParts, differ bool) error {
	for i, numbers := range o.process {
		one := o.comparison
		one.Processes = [2][]int{one.Processes[0][i : i+1], one.Processes[1][i : i+1]}
		if inA, inB := one.Count(a.Calls, b.Calls); inA+inB == 0 {
			return fmt.Errorf("--process %s: neither command has such a %s with a call to compare", numbers, o.by)
		}
	}
	inA, inB := o.comparison.Count(a.Calls, b.Calls)
	switch {
	case inA+inB == 0:
		return errors.New("neither command made a call that can carry descriptors: nothing was compared")
	case differ:
		return nil
	case slices.ContainsFunc(found, (*recorder.Difference).Ends):
		return errors.New("not compared: --allow permits a missing call, so the calls after it were not compared")
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

// compareWithItself runs A until two runs in a row change no further bytes, and allows the payload bytes that change
// from run to run. It prints any other difference.
func (o *diffOptions) compareWithItself(cmd *cobra.Command, a recorder.Trace, args []string, in *input) error {
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
func (o *diffOptions) record(args []string, in *input) (r recorder.Trace, err error) {
	options := recorder.Options{Limit: 4096, Sum: true, NoFilter: o.noFilter}
	options.Handle = func(c *recorder.Call) {
		if !c.OnOtherSocket() {
			r.Calls = append(r.Calls, *c)
		}
	}
	options.StillOpen = func(found *recorder.StillOpen) { r.StillOpen = append(r.StillOpen, found) }
	options.TablesUnknown = printTablesUnknown
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
