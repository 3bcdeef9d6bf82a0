package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// linuxCommands are those that start peers.
func linuxCommands() []*cobra.Command {
	return []*cobra.Command{runCommand(), replayCommand(), smokeCommand(), peerCommand()}
}

// insidePeers are the peers inside this program, which "peer NAME" is.
func insidePeers() (inside []*scenario.Peer, err error) {
	self, err := os.Executable()
	for _, lib := range builtin.All() {
		inside = append(inside, scenario.Program(lib.Name, self, "interop", "peer", shortName(lib)))
	}
	return inside, err
}

// shortName is a peer's name without the backend, which is the program's.
func shortName(lib peer.Library) string { return strings.TrimSuffix(lib.Name, "-"+scm.Backend) }

// peerCommand is one of the peers inside, speaking on standard input and output.
func peerCommand() *cobra.Command {
	libs := map[string]peer.Library{}
	for _, lib := range builtin.All() {
		libs[shortName(lib)] = lib
	}
	names := slices.Sorted(maps.Keys(libs))
	return &cobra.Command{
		Use:       "peer NAME",
		Short:     "Be one of the peers inside, on standard input and output",
		Long:      fmt.Sprintf("Be one of the peers inside, on standard input and output: %v.", names),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		Run:       func(_ *cobra.Command, args []string) { peer.Main(libs[args[0]]) },
	}
}

// start is for list: it resolves the plan.
func (p *plan) start() error {
	return untilSignal(func(ctx context.Context) error { return p.resolve(ctx, process.DefaultTimeout) })
}

// resolve starts each peer once, to ask what it can do, and finds the cases and what is expected of them.
func (p *plan) resolve(ctx context.Context, timeout time.Duration) (err error) {
	var wrong []error
	for _, peer := range p.peers { // to start takes longer than to answer
		if err := process.ProbeContext(ctx, peer, max(timeout, process.DefaultTimeout)); err != nil {
			wrong = append(wrong, fmt.Errorf("peer %s: %w", peer.Name, err))
		}
	}
	if len(wrong) > 0 {
		return broken(errors.Join(wrong...))
	}
	if p.runner, err = process.Runner(); err != nil {
		return broken(fmt.Errorf("the runner's own peer: %w", err))
	}
	p.expect, err = scenario.Expect(p.expected, witness.ThisKernel(), p.scenarios, p.peers, p.missing, p.runner)
	if err != nil {
		return fmt.Errorf("expected failures: %w", err)
	}
	return p.choose()
}

// A playing is how run plays, and what it reports.
type playing struct {
	interop.Options
	reports []string
	json    bool
	verbose bool
	trace   bool // record the cases that fail
	repeat  bool // until something is not as expected
}

func runCommand() *cobra.Command {
	var s selection
	var o playing
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Play the scenarios, and print who understands whom",
		Long: `Play the scenarios between every pair of peers, and print who understands whom. A peer
may leave processes behind: the runner ends those of its process group, and not one that
calls setsid.

Exit status: 0 all as expected, 1 something is not, 2 wrong usage, 3 nothing ran, or
no case of a peer has a verdict, 4 a peer or the set-up is broken, 128 and its number
after a signal. With --run, --skip or --shard, a peer without a verdict is an error only
if it can play no case at all; with --catalogue, not if it is one inside.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			p, err := s.read()
			if err != nil {
				return err
			}
			r, exit := o.perform(p)
			if r == nil {
				return exit
			}
			r.Replay = s.replay(o.reports)
			for _, file := range o.reports {
				if filepath.Ext(file) == report.StreamExt {
					continue // it is written
				}
				if err := r.WriteFile(file); err != nil {
					printError(unwritten(err).err)
					exit = &exitError{code: exitBroken}
				}
			}
			if o.json {
				_ = r.JSON(cmd.OutOrStdout()) // the command looks for its error
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
	f.StringArrayVar(&o.reports, "report", nil, "write a report to `FILE`, in the form that its name asks for: "+
		".json, .jsonl (while the run goes on), .xml (JUnit), .md, .html, .txt")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print each case that is not as expected, and how many cases of each pair pass")
	f.BoolVar(&o.json, "json", false, "print the JSON report in place of the matrix")
	f.IntVar(&o.Jobs, "jobs", 2*runtime.NumCPU(), "play so many pairs of peers at once: each often waits")
	f.BoolVar(&o.FailFast, "fail-fast", false, "end with the first case that is not as expected")
	f.IntVar(&o.Retries, "retry", 0, "play a case that is not as expected up to so many times again; it is flaky, and not passed, if it is then")
	f.BoolVar(&o.repeat, "repeat-until-unexpected", false, "play all again and again, until something is not as expected: "+
		"a report is of the last round")
	o.flags(cmd)
	return cmd
}

// flags are those that replay has too.
func (o *playing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&o.Timeout, "timeout", process.DefaultTimeout, "deadline for each answer")
	f.BoolVar(&o.trace, "trace", false, "play a case that fails, and was not expected to, once more under the recorder, "+
		"and report what both peers said to the kernel, with the bytes, as \"scm trace --raw\" does; no verdict changes")
}

// check returns what is wrong with the flags, and fits the jobs to what there is.
func (o *playing) check() error {
	switch {
	case o.Timeout <= 0 || o.Jobs < 1:
		return errors.New("--timeout and --jobs must be more than 0")
	case o.Retries < 0:
		return errors.New("--retry must not be less than 0")
	}
	if err := report.ValidateFiles(o.reports); err != nil {
		return err
	}
	most, err := interop.MaxJobs()
	if err != nil {
		return broken(err)
	}
	o.Jobs = min(o.Jobs, most)
	debug.SetGCPercent(400) // a tenth less work, and a run is short of processors, not of memory
	return nil
}

// perform resolves a plan and plays it, again and again if that is asked for. The error has the exit
// code; without a report, nothing was run.
func (o *playing) perform(p *plan) (r *report.Report, exit error) {
	exit = untilSignal(func(ctx context.Context) error {
		if err := p.resolve(ctx, o.Timeout); err != nil {
			return err
		}
		var err error
		r, err = o.play(ctx, p)
		for round := 2; o.repeat && err == nil; round++ {
			fmt.Fprintf(os.Stderr, "scm: as expected, %.1f s: round %d\n", r.Seconds, round)
			r, err = o.play(ctx, p)
		}
		return err
	})
	return r, exit
}

// play runs a plan once, and streams the reports that are written meanwhile.
func (o *playing) play(ctx context.Context, p *plan) (*report.Report, error) {
	r := report.Begin(version(), slices.Concat(p.peers, p.missing, []*scenario.Peer{p.runner}), p.expect)
	r.Required = p.awaited
	stream, err := r.Stream(o.reports)
	if err != nil {
		return nil, unwritten(err)
	}
	options, tell := o.Options, progress(len(p.cases))
	options.Runner = p.runner
	if o.trace {
		options.Recorder = recordPeer
	}
	options.Done = func(c scenario.Result) {
		tell(c)
		stream.Case(c)
	}
	outcome := interop.Run(ctx, p.cases, p.expect, options)
	r.End(outcome)
	if outcome.Left != nil {
		printError(outcome.Left)
	}
	if err := stream.Close(r); err != nil {
		return r, unwritten(err)
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
	case len(r.MissingVerdicts()) > 0:
		return r, &exitError{exitNone, errors.Join(r.MissingVerdicts()...)}
	}
	return r, nil
}

func unwritten(err error) *exitError {
	return &exitError{exitBroken, fmt.Errorf("the report cannot be written: %w", err)}
}

// recordPeer is the recorder, for the runner. Of a payload the record has 64 bytes: most of the
// buffers of receives are room.
func recordPeer(cmd *exec.Cmd, started func(), call func(lines []string)) error {
	_, err := recorder.Record(cmd, recorder.Options{
		Limit:   64,
		Started: func(*os.Process) { started() },
		Handle:  func(c *recorder.Call) { call(strings.Split(string(appendCall(nil, c, true)), "\n")) },
	})
	return err
}

// progress shows on standard error how far the run is: a bar on a terminal, and a line every
// ten seconds elsewhere.
func progress(total int) func(scenario.Result) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		bar := progressbar.NewOptions(total,
			progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish())
		return func(scenario.Result) { _ = bar.Add(1) } // a bar that cannot be drawn is no reason to stop
	}
	done, unexpected, last := 0, 0, time.Now()
	return func(c scenario.Result) {
		done++
		if c.Unexpected() {
			unexpected++
		}
		if time.Since(last) > 10*time.Second {
			last = time.Now()
			fmt.Fprintf(os.Stderr, "scm: %d of %d cases, %d not as expected\n", done, total, unexpected)
		}
	}
}

func smokeCommand() *cobra.Command {
	var s selection
	timeout := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Ask whether the peers are themselves well",
		Long: `Check the peers themselves, rather than their libraries. Each must start, answer what the
contract alone asks for, send and recognize a long payload (@N), answer unsupported to
commands that do not exist, and exit at the end of its input.

Exit status: 0 all peers are well, 3 there is no peer, 4 a peer is not well or not there.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("a peer is given by a name and its command: --peer mine=%s", strconv.Quote(args[0]))
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
			return untilSignal(func(ctx context.Context) error {
				all, sick := 0, 0
				for _, peer := range append(p.peers, p.missing...) {
					if ctx.Err() != nil || peer.Why == notGiven {
						continue
					}
					all++
					err := fmt.Errorf("not there: %s", peer.Why)
					if peer.Why == "" {
						err = process.Smoke(ctx, peer, timeout)
					}
					text := fmt.Sprintf("well, %s %s, can %s", peer.Hello.Lang, peer.Hello.Version, strings.Join(peer.Hello.Can, ","))
					if err != nil {
						sick++
						text = err.Error()
					}
					fmt.Fprintln(cmd.OutOrStdout(), display.Block("", peer.Name+": "+text))
				}
				switch {
				case sick > 0:
					return broken(fmt.Errorf("%d of %d peers are not well", sick, all))
				case all == 0:
					return &exitError{exitNone, errors.New("no peers")}
				}
				return nil
			})
		},
	}
	s.peerFlags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", process.DefaultTimeout, "deadline for each answer")
	return cmd
}
