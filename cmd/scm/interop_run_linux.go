package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// linuxCommands returns the commands that start peers.
func linuxCommands() []*cobra.Command {
	return []*cobra.Command{runCommand(), replayCommand(), summaryCommand(), smokeCommand(), peerCommand()}
}

func thisKernel() expected.System { return witness.ThisKernel() }

// builtinPeers returns the peers that are built into scm. Each is the command "interop peer NAME".
func builtinPeers() (list []*scenario.Peer, err error) {
	self, err := os.Executable()
	if err != nil {
		err = cmp.Or(procfs.Check(), err)
	}
	for _, lib := range builtin.All() {
		list = append(list, scenario.Program(lib.Name, self, "interop", "peer", shortName(lib)))
	}
	return list, err
}

// shortName returns the name of a peer without the backend, because scm has only one.
func shortName(lib peer.Library) string { return strings.TrimSuffix(lib.Name, "-"+scm.Backend) }

// peerCommand returns the command that acts as a built-in peer.
func peerCommand() *cobra.Command {
	libs := map[string]peer.Library{}
	for _, lib := range builtin.All() {
		libs[shortName(lib)] = lib
	}
	names := slices.Sorted(maps.Keys(libs))
	return &cobra.Command{
		Use:       "peer NAME",
		Short:     "Act as a built-in peer, on standard input and output",
		Long:      fmt.Sprintf("Act as a built-in peer, on standard input and output. NAME is one of: %s.", strings.Join(names, ", ")),
		Args:      cobra.MatchAll(exactArgs("NAME"), cobra.OnlyValidArgs),
		ValidArgs: names,
		Run:       func(_ *cobra.Command, args []string) { peer.Main(libs[args[0]]) },
	}
}

// prepareList prepares the plan for the list command.
func (p *plan) prepareList() error {
	return untilSignal(func(ctx context.Context) error { return p.resolve(ctx, process.DefaultTimeout) })
}

// resolve starts each peer once to ask what it supports, and then determines the cases and the expected failures.
func (p *plan) resolve(ctx context.Context, timeout time.Duration) (err error) {
	var errs []error
	for _, peer := range p.peers {
		if err := process.ProbeContext(ctx, peer, process.StartTimeout(timeout)); err != nil {
			errs = append(errs, fmt.Errorf("peer %s: %w", peer.Name, err))
		}
	}
	if len(errs) > 0 {
		return broken(errors.Join(errs...))
	}
	if p.runner, err = process.Runner(); err != nil {
		return broken(fmt.Errorf("the runner's own peer: %w", err))
	}
	p.expect, err = scenario.Expect(p.expected, thisKernel(), p.scenarios, p.peers, p.missing, p.runner)
	if err != nil {
		return err
	}
	return p.selectCases()
}

// runOptions contains the flags of run and replay that are not in selection.
type runOptions struct {
	interop.Options
	reports []string
	json    bool
	verbose bool
	trace   bool // record cases that fail
	repeat  bool // until a case does not end as expected
	strict  bool // see scenario.Expectations.StrictKernel
}

func runCommand() *cobra.Command {
	var s selection
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the scenarios, and print the interoperability matrix",
		Long: `Run every scenario between every pair of peers, and print the interoperability matrix.
The scenarios and several peers are built into scm. To test your library, write a peer
for it (see "scm interop new-peer --help"), and add it with --peer.

` + peerHelp + `

` + patternHelp + `

` + expectHelp + `

The extension of a report selects its format: .json, .jsonl (written during the run), .xml
(JUnit), .tap (TAP 14), .md, .html or .txt.

Scenarios from --catalogue run with your rights, and may use the network.

With --trace, scm runs each unexpected failure again under the recorder, and reports the
system calls of both peers with their bytes, like "scm trace --raw". This changes no
verdict. A case that ends as expected only when it is run again (--retry) is flaky. With
--repeat-until-unexpected, reports contain only the last round.

If a peer leaves processes behind, the runner kills those in the peer's process group. It
does not kill a process that called setsid.

With --run, --skip or --shard, a peer without a verdict is an error only if it supports
none of the cases of a whole run. With --catalogue, it is not an error for a built-in peer.
Without --catalogue, it is an error if a peer supports no case that passes a descriptor.

Exit status:
  0      every case ended as expected
  1      at least one case did not
  2      wrong usage
  3      nothing ran, or a peer has no case with a verdict, or supports none that passes a
         descriptor
  4      a peer or the set-up is broken
  128+N  signal N ended the run`,
		Args: noArgs(selectionHint),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			p, err := s.newPlan()
			if err != nil {
				return err
			}
			r, exit := o.resolveAndRun(p)
			if r == nil {
				return exit
			}
			r.Replay = s.replayPrefix(o.reports, o.strict)
			for _, file := range o.reports {
				if filepath.Ext(file) == report.StreamExt {
					continue // it was written during the run
				}
				if err := report.Formats.WriteFile(file, r); err != nil {
					printError(writeError(err).err)
					exit = &exitError{code: exitBroken}
				}
			}
			if o.json {
				_ = r.JSON(cmd.OutOrStdout()) // output keeps the error, here and below
			} else if o.verbose || o.trace {
				_ = r.Console(cmd.OutOrStdout())
			} else {
				_ = r.Brief(cmd.OutOrStdout())
			}
			return exit
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.reports, "report", nil, "write a report to `FILE`, creating its directory; may be repeated")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print every unexpected case, and the number of passes of each pair")
	f.BoolVar(&o.json, "json", false, "print the JSON report instead of the matrix")
	f.IntVar(&o.Jobs, "jobs", 2*runtime.NumCPU(), "number of peer pairs to run in parallel")
	f.Lookup("jobs").DefValue = "2 per processor" // the manual page is the same wherever it is written
	f.BoolVar(&o.FailFast, "fail-fast", false, "stop after the first case that does not end as expected")
	f.IntVar(&o.Retries, "retry", 0, "run a case again, up to `N` times, if it does not end as expected")
	f.BoolVar(&o.repeat, "repeat-until-unexpected", false, "repeat the run until a case does not end as expected")
	o.flags(cmd)
	return cmd
}

// flags adds the flags that run and replay share.
func (o *runOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&o.Timeout, "timeout", process.DefaultTimeout, "deadline for each answer of a peer")
	f.BoolVar(&o.strict, "strict-kernel", false, "also fail if a failure expected on some releases of Linux, as in kernel<5.15, does not occur")
	f.BoolVar(&o.trace, "trace", false, "run each unexpected failure again under the recorder, and report the system calls")
}

// validate checks the flags, and limits the number of jobs to what the system allows.
func (o *runOptions) validate() error {
	switch {
	case o.Timeout <= 0 || o.Jobs < 1:
		return errors.New("--timeout and --jobs must be greater than 0")
	case o.Retries < 0:
		return errors.New("--retry must not be negative")
	}
	if err := report.Formats.Validate(o.reports); err != nil {
		return err
	}
	maxJobs, err := interop.MaxJobs()
	if err != nil {
		return broken(err)
	}
	o.Jobs = min(o.Jobs, maxJobs)
	debug.SetGCPercent(400) // saves a tenth of the CPU time, which limits a run; memory does not
	return nil
}

// resolveAndRun resolves a plan and runs its cases, repeatedly with --repeat-until-unexpected. The error
// contains the exit code. The report is nil if no case was run.
func (o *runOptions) resolveAndRun(p *plan) (r *report.Report, exit error) {
	exit = untilSignal(func(ctx context.Context) error {
		if err := p.resolve(ctx, o.Timeout); err != nil {
			return err
		}
		p.expect.StrictKernel = o.strict
		var err error
		r, err = o.runOnce(ctx, p)
		for round := 2; o.repeat && err == nil; round++ {
			fmt.Fprintf(os.Stderr, "scm: as expected after %.1f s, starting round %d\n", r.Seconds, round)
			r, err = o.runOnce(ctx, p)
		}
		return err
	})
	return r, exit
}

// runOnce runs the cases of a plan once, and streams the .jsonl reports.
func (o *runOptions) runOnce(ctx context.Context, p *plan) (*report.Report, error) {
	if err := procfs.Check(); err != nil {
		return nil, broken(err)
	}
	r := report.Begin(version(), slices.Concat(p.peers, p.missing, []*scenario.Peer{p.runner}), p.expect)
	r.Required, r.NotAsked, r.NoFiles = p.required, p.notAsked, p.noFiles
	stream, err := r.Stream(o.reports)
	if err != nil {
		return nil, writeError(err)
	}
	count, stopProgress := newProgress(os.Stderr, len(p.cases))
	options := o.Options
	options.Runner = p.runner
	if o.trace {
		options.Recorder = recordPeer
	}
	options.Done = func(c scenario.Result) {
		count(c)
		stream.Case(c)
	}
	outcome := interop.Run(ctx, p.cases, p.expect, options)
	stopProgress()
	r.End(outcome)
	if outcome.Left != nil {
		printError(outcome.Left)
	}
	if err := stream.Close(r); err != nil {
		return r, writeError(err)
	}
	switch {
	case outcome.Broken != nil:
		return r, broken(outcome.Broken)
	case r.Unexpected() > 0:
		return r, &exitError{code: exitFail}
	case r.Totals.NotRun+r.Kernel.NotRun > 0:
		return r, &exitError{code: exitBroken}
	case r.Verdicts() == 0:
		return r, &exitError{exitNone, errors.New("nothing ran")}
	case len(r.UntestedPeers()) > 0:
		return r, &exitError{exitNone, errors.Join(r.UntestedPeers()...)}
	}
	return r, nil
}

// writeError returns the error for a report that cannot be written.
func writeError(err error) *exitError {
	return &exitError{exitBroken, fmt.Errorf("cannot write the report: %w", err)}
}

// recordPeer runs a peer under the recorder. It records at most 64 bytes of each payload, because
// receive buffers are mostly empty.
func recordPeer(cmd *exec.Cmd, started func(), call func(lines []string)) error {
	_, err := recorder.Record(cmd, recorder.Options{
		Limit:   64,
		Started: func(*os.Process) { started() },
		Handle:  func(c *recorder.Call) { call(strings.Split(callText(c, true), "\n")) },
	})
	return err
}

// newProgress shows the progress of the run on f until stop is called. On a terminal it replaces one line, and removes
// it at the end. Elsewhere it prints a line after 5 seconds, and then every 15 seconds. Call count for each result.
func newProgress(f *os.File, total int) (count func(scenario.Result), stop func()) {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return lineProgress(f, progressText+"\n", total, 5*time.Second, 15*time.Second)
	}
	count, stopLines := lineProgress(f, "\r"+progressText, total, 100*time.Millisecond, 100*time.Millisecond)
	return count, func() {
		stopLines()
		fmt.Fprint(f, "\r\x1b[K")
	}
}

const progressText = "scm: %d of %d cases, %d not as expected"

// lineProgress prints the progress at these times, also if no case ends.
func lineProgress(w io.Writer, format string, total int, first, interval time.Duration) (count func(scenario.Result), stop func()) {
	var done, unexpected atomic.Int32
	count = func(c scenario.Result) {
		done.Add(1)
		if c.Unexpected() {
			unexpected.Add(1)
		}
	}
	return count, peers.Every(first, interval, func() {
		fmt.Fprintf(w, format, done.Load(), total, unexpected.Load())
	})
}

// unfilledText says what a peer does not support, and which functions of a skeleton to fill in.
func unfilledText(peer *scenario.Peer) string {
	functions := peer.Unfilled
	if skeleton, err := peers.FindSkeleton(peer.Hello.Lang); err == nil {
		functions = skeleton.Functions(peer.Unfilled...)
	}
	return fmt.Sprintf("answers \"unsupported\" to every %s: fill in %s", strings.Join(peer.Unfilled, " and every "), strings.Join(functions, " and "))
}

func smokeCommand() *cobra.Command {
	var s selection
	timeout := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Check that the peers work, without running any scenario",
		Long: `Check the peers themselves, rather than their libraries. Each peer must start, follow the
contract, send and recognize a long payload (@N), answer "unsupported" to unknown
commands, leave no other process with its sockets, and exit at the end of its input. A peer
that answers "unsupported" to every send or to every receive, as a new template does, also
passes, and the output says so. The output also says how many of the peer's cases with the
runner are not run because of its answer to hello.

` + peerHelp + `

Exit status:
  0      all peers work
  2      wrong usage
  3      no peer was selected
  4      a peer does not work, or is unavailable
  128+N  signal N ended the check`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("smoke takes no arguments; to add a peer, use --peer mine=%s", strconv.Quote(args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return errors.New("--timeout must be more than 0")
			}
			p, err := s.findPeers(false)
			if err != nil {
				return err
			}
			scenarios, err := catalogue.Scenarios()
			if err != nil {
				return err
			}
			return untilSignal(func(ctx context.Context) error {
				total, failed := 0, 0
				for _, peer := range append(p.peers, p.missing...) {
					if ctx.Err() != nil || peer.Why == scenario.NotSelected || peer.Why == scenario.NotBuiltin {
						continue
					}
					total++
					err := fmt.Errorf("unavailable: %s", peer.Why)
					if peer.Why == "" {
						err = process.Smoke(ctx, peer, timeout)
					}
					text := fmt.Sprintf("ok, %s %s, can %s", peer.Hello.Lang, peer.Hello.Version, strings.Join(peer.Hello.Can, ","))
					switch {
					case err != nil:
						failed++
						text = err.Error()
					case len(peer.Unfilled) > 0:
						text += "; " + unfilledText(peer)
					default:
						if skipped := scenario.NotAsked(scenario.Plan(scenarios, []*scenario.Peer{peer}, scenario.RunnerPeer()), peer); skipped != "" {
							text += "; " + skipped
						}
					}
					fmt.Fprintln(cmd.OutOrStdout(), display.Block("", peer.Name+": "+text))
				}
				switch {
				case failed > 0:
					return broken(fmt.Errorf("%d of %d peers do not work", failed, total))
				case total == 0:
					return &exitError{exitNone, errors.New("no peers")}
				}
				return nil
			})
		},
	}
	s.peerFlags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", process.DefaultTimeout, "deadline for each answer of a peer")
	return cmd
}
