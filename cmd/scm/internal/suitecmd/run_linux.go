package suitecmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/cmd/scm/internal/tracecmd"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

var runHelp = `Run the scenarios with every pair of peers. For each cause of failures, print how many cases
fail and the shortest of them. The scenarios and several peers are built into scm. To test
your library, write a peer for it (see "scm interop new-peer --help"), and add it with
--peer. Then only the cases in which it takes part run and, as a control, those of the
runner with itself. To also run the other peers with each other, add --all-pairs.

` + peerHelp + `

` + patternHelp + `

` + expectHelp + `

The extension of a report selects its format: .json, .jsonl (written during the run), .xml
(JUnit), .html or .txt. Except after wrong usage, a run without cases reports why.

With --trace, scm runs each unexpected failure again under the recorder, and reports the
system calls of both peers like "scm trace --raw", but with at most 64 bytes of each
payload buffer. This changes no verdict. A case that ends as expected only when it is run
again (--retry) is flaky. With --repeat-until-unexpected, reports have only the last round.

If five cases in a row with the same partner, or ten in all, hang because of a peer, its
other cases are not run. Expected failures do not count. The runner kills processes that
a peer leaves behind, unless they called setsid.
Scenarios from --catalogue run with your rights, and may use the network.

With --run or --skip, a peer without a verdict is an error only if no other has
one, or if it supports none of the cases of a whole run. With --catalogue, it is not an
error for a built-in peer. Without --catalogue, it is an error if a peer supports no case
that passes a descriptor. With --peer, neither is an error for the other peers.

Exit status:
  0      every case ended as expected
  1      at least one case did not
  2      wrong usage
  3      nothing ran, or a peer has no verdict, passes no descriptor, or is a bare template
  4      a peer or the set-up is broken
  128+N  signal N ended the run`

// runOptions contains the flags of run and replay that are not in selection, and the selection.
type runOptions struct {
	cases selection
	interop.Options
	reports []string
	json    bool
	verbose bool
	trace   bool // record cases that fail
	repeat  bool // until a case does not end as expected
	strict  bool // see scenario.Expectations.StrictKernel
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the scenarios, and print the causes of failures",
		Long:  runHelp,
		Args:  cli.NoArgs(selectionHint),
		RunE:  o.run,
	}
	o.flags(cmd)
	return cmd
}

func (o *runOptions) flags(cmd *cobra.Command) {
	o.cases.flags(cmd)
	o.sharedFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.reports, "report", nil, "write a report to `FILE`, creating its directory; may be repeated")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print every unexpected case, a matrix of the peers, and details of the run")
	f.BoolVar(&o.json, "json", false, "print the JSON report instead")
	f.IntVar(&o.Jobs, "jobs", 2*runtime.NumCPU(), "number of peer pairs to run in parallel")
	f.Lookup("jobs").DefValue = "2 per processor" // the help text is the same on every machine
	f.BoolVar(&o.FailFast, "fail-fast", false, "stop after the first case that does not end as expected")
	f.IntVar(&o.Retries, "retry", 0, "run a case again, up to `N` times, if it does not end as expected")
	f.BoolVar(&o.repeat, "repeat-until-unexpected", false, "repeat the run until a case does not end as expected")
}

// sharedFlags adds the flags that run and replay share.
func (o *runOptions) sharedFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&o.Timeout, "timeout", process.DefaultTimeout, "deadline for each answer of a peer")
	f.BoolVar(&o.strict, "strict-kernel", false, "also fail if a failure that is expected on some releases of Linux does not occur")
	f.BoolVar(&o.trace, "trace", false, "run each unexpected failure again under the recorder, and report the system calls")
}

// validate checks the flags.
func (o *runOptions) validate() error {
	switch {
	case o.Timeout <= 0 || o.Jobs < 1:
		return errors.New("--timeout and --jobs must be greater than 0")
	case o.Retries < 0:
		return errors.New("--retry must not be negative")
	}
	return report.Formats.Validate(o.reports)
}

func (o *runOptions) run(cmd *cobra.Command, _ []string) error {
	if err := o.validate(); err != nil {
		return err
	}
	var text bytes.Buffer
	exit := cli.UntilSignal(func(ctx context.Context) error { return o.runAndReport(ctx, cmd, &text) })
	_, _ = text.WriteTo(cmd.OutOrStdout()) // output keeps the error
	return exit
}

// runAndReport runs the cases, writes the reports, and prints the result.
func (o *runOptions) runAndReport(ctx context.Context, cmd *cobra.Command, text io.Writer) error {
	r, exit := o.planAndRun(ctx)
	streamed, broken := r != nil, (*cli.ExitError)(nil)
	if !streamed {
		why := context.Cause(ctx)
		switch {
		case why != nil: // the error may be that of a peer, which has been ended
		case errors.As(exit, &broken):
			why = broken.Err
		default:
			return exit // wrong usage
		}
		r = report.Begin(cli.Version(), nil, &scenario.Expectations{})
		r.End(scenario.RunResult{Broken: why})
	}
	r.Selected = len(o.cases.run) > 0
	if r.Replay = o.cases.replayPrefix(o.reports, o.strict); r.Replay == "" {
		r.Replay = runPrefix(cmd)
	}
	for _, file := range o.reports {
		if filepath.Ext(file) == report.StreamExt && streamed {
			continue // it was written during the run
		}
		if err := report.Formats.WriteFile(file, r); err != nil {
			cli.PrintError(cli.WriteError(err).Err)
			exit = cli.Exit(cli.ExitBroken, nil)
		}
	}
	switch {
	case o.json:
		return cmp.Or(exit, r.JSON(text))
	case r.Error != "":
		return exit
	case o.verbose || o.trace:
		return cmp.Or(exit, r.Console(text))
	}
	return cmp.Or(exit, r.Brief(text))
}

// planAndRun makes a plan, and limits the number of jobs to what the system allows. See resolveAndRun.
func (o *runOptions) planAndRun(ctx context.Context) (r *report.Report, exit error) {
	maxJobs, err := interop.MaxJobs()
	if err != nil {
		return nil, cli.Broken(err)
	}
	o.Jobs = min(o.Jobs, maxJobs)
	debug.SetGCPercent(400) // saves a tenth of the CPU time, which limits a run; memory does not
	p, err := o.cases.newPlan()
	if err != nil {
		return nil, err
	}
	return o.resolveAndRun(ctx, p)
}

// resolve starts each peer once to ask what it supports, and then determines the cases and the expected failures. The
// timeout is 0 without the flag.
func (p *plan) resolve(ctx context.Context, timeout time.Duration) (err error) {
	var errs []error
	for _, peer := range p.peers {
		probe := process.ProbeTemplate
		if p.builtin[peer.Name] {
			probe = process.ProbeContext
		}
		if err := probe(ctx, peer, process.StartTimeout(timeout)); err != nil {
			if timeout > 0 {
				err = withFlag(err)
			}
			errs = append(errs, fmt.Errorf("peer %s: %w", peer.Name, err))
		}
	}
	if len(errs) > 0 {
		return cli.Broken(errors.Join(errs...))
	}
	if p.runner, err = process.Runner(); err != nil {
		return cli.Broken(fmt.Errorf("the runner's own peer: %w", err))
	}
	p.expect, p.unmatched = scenario.Expect(p.expected, thisKernel(), p.scenarios, p.peers, p.missing, p.runner)
	return p.selectCases()
}

// withFlag names the flag with the limit in the error of a peer that has not answered.
func withFlag(err error) error {
	if errors.Is(err, process.ErrHang) {
		return fmt.Errorf("%w (see --timeout)", err)
	}
	return err
}

// prepareList prepares the plan for the list command.
func (p *plan) prepareList() error {
	return cli.UntilSignal(func(ctx context.Context) error { return p.resolve(ctx, 0) })
}

// resolveAndRun resolves a plan and runs its cases, repeatedly with --repeat-until-unexpected. The error
// contains the exit code. The report is nil if no case was run.
func (o *runOptions) resolveAndRun(ctx context.Context, p *plan) (r *report.Report, err error) {
	if err := p.resolve(ctx, o.Timeout); err != nil {
		return nil, err
	}
	p.expect.StrictKernel = o.strict
	if err := p.findTemplates(); err != nil {
		return nil, cli.Exit(cli.ExitNone, err)
	}
	r, err = o.runOnce(ctx, p)
	for round := 2; o.repeat && err == nil; round++ {
		fmt.Fprintf(os.Stderr, "scm: as expected after %.1f s, starting round %d\n", r.Seconds, round)
		r, err = o.runOnce(ctx, p)
	}
	return r, err
}

// findTemplates returns an error for each peer that is an unchanged template.
func (p *plan) findTemplates() error {
	var errs []error
	for _, peer := range p.peers {
		if len(peer.Unfilled) > 0 {
			errs = append(errs, fmt.Errorf("peer %s: nothing is filled in yet: it %s", peer.Name, unfilledText(peer)))
		}
	}
	return errors.Join(errs...)
}

// runOnce runs the cases of a plan once, and streams the .jsonl reports.
func (o *runOptions) runOnce(ctx context.Context, p *plan) (*report.Report, error) {
	if err := procfs.Check(); err != nil {
		return nil, cli.Broken(err)
	}
	r := report.Begin(cli.Version(), slices.Concat(p.peers, p.missing, []*scenario.Peer{p.runner}), p.expect)
	r.Required, r.NotAsked, r.NoFiles, r.LeftOut = p.required, p.notAsked, p.noFiles, p.leftOut
	r.Planned = len(p.cases)
	r.Part = len(p.filter.Run)+len(p.filter.Skip) > 0
	for _, err := range p.unmatched {
		r.Unmatched = append(r.Unmatched, err.Error())
	}
	r.Given, r.NoKernel = p.given, p.noKernel
	stream, err := r.Stream(o.reports)
	if err != nil {
		exit := cli.WriteError(err)
		r.End(scenario.RunResult{Broken: exit.Err})
		return r, exit
	}
	count, stopProgress := newProgress(os.Stderr, p)
	options := o.Options
	options.Runner = p.runner
	if o.trace {
		options.Recorder = recordPeer
	}
	options.Done = func(c scenario.Result) {
		count(c)
		stream.Case(c)
	}
	result := interop.Run(ctx, p.cases, p.expect, options)
	stopProgress()
	r.End(result)
	r.CountAsked(p.whole, scenario.Obstacles(p.cases, r.Cases, scenario.ReasonCut))
	if result.Left != nil {
		cli.PrintError(result.Left)
	}
	if err := stream.Close(r); err != nil {
		return r, cli.WriteError(err)
	}
	switch {
	case result.Broken != nil:
		return r, cli.Broken(result.Broken)
	case r.Unexpected()+r.UnmatchedFaults() > 0:
		return r, cli.Exit(cli.ExitFail, nil)
	case r.NotRun() > 0:
		return r, cli.Exit(cli.ExitBroken, nil)
	case len(r.UntestedPeers()) > 0:
		return r, cli.Exit(cli.ExitNone, errors.Join(r.UntestedPeers()...))
	case r.Verdicts() == 0:
		return r, cli.Exit(cli.ExitNone, errors.New("nothing ran"))
	}
	return r, nil
}

// recordPeer runs a peer under the recorder. It records at most 64 bytes of each payload, because
// receive buffers are mostly empty.
func recordPeer(cmd *exec.Cmd, started func(), call func(lines []string)) error {
	_, err := recorder.Record(cmd, recorder.Options{
		Limit:   64,
		Started: func(*os.Process) { started() },
		Handle:  func(c *recorder.Call) { call(strings.Split(tracecmd.CallText(c, true), "\n")) },
	})
	return err
}
