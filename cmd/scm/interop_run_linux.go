package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// A playing is how run plays, and what it reports.
type playing struct {
	interop.Options
	reports []string
	json    bool
	trace   bool // record the cases that fail
	repeat  bool // until something is not as expected
}

func runCommand() *cobra.Command {
	var s selection
	var o playing
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Play the scenarios, and print who understands whom",
		Long: `Play the scenarios between every pair of peers, and print who understands whom.

Exit status: 0 all as expected, 1 something is not, 2 wrong usage, 3 nothing ran, or
no case of a peer has a verdict, 4 a peer or the set-up is broken, 128 and its number
after a signal. With --run, --skip or --shard, a peer without a verdict is an error only
if it can play no case at all; with --catalogue, not if it is one inside.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			in, err := s.read()
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(true)
			defer stop()
			end := adopt()
			defer end()
			p, err := in.resolve(ctx, o.Timeout)
			if err != nil {
				return err
			}
			r, exit := o.play(ctx, p)
			for round := 2; o.repeat && exit == nil; round++ {
				fmt.Fprintf(os.Stderr, "scm: as expected, %.1f s: round %d\n", r.Seconds, round)
				r, exit = o.play(ctx, p)
			}
			end()
			if r == nil {
				return exit
			}
			r.Replay = s.replay(o.reports)
			var unwritten []error
			for _, file := range o.reports {
				if filepath.Ext(file) == report.Streamed {
					continue // it is written
				}
				if err := r.WriteFile(ctx, file); err != nil {
					unwritten = append(unwritten, fmt.Errorf("the report cannot be written: %w", err))
				}
			}
			if len(unwritten) > 0 && interrupted(ctx) == nil {
				if was := new(exitError); errors.As(exit, &was) && was.err != nil {
					unwritten = append(unwritten, was.err)
				}
				exit = broken(errors.Join(unwritten...))
			} else if len(unwritten) > 0 {
				printError(errors.Join(unwritten...))
			}
			if err := interrupted(ctx); err != nil {
				exit = err // while a report was written, perhaps
			}
			stop() // all is kept: a reader that is gone is no error any more
			if o.json {
				err = r.JSON(cmd.OutOrStdout())
			} else {
				err = r.Console(cmd.OutOrStdout())
			}
			if cut := new(interrupt); err != nil && !errors.As(exit, cut) { // by the end of the terminal, say
				return broken(err)
			}
			return exit
		},
	}
	s.flags(cmd)
	o.flags(cmd)
	return cmd
}

func (o *playing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.reports, "report", nil, "write a report to `FILE`, in the form that its name asks for: .json, .jsonl (while the run goes on), .xml (JUnit), .md, .html, .txt")
	f.BoolVar(&o.json, "json", false, "print the JSON report in place of the matrix")
	f.IntVar(&o.Jobs, "jobs", runtime.NumCPU(), "play so many pairs of peers at once")
	f.DurationVar(&o.Timeout, "timeout", process.DefaultTimeout, "deadline for each answer")
	f.BoolVar(&o.FailFast, "fail-fast", false, "end with the first case that is not as expected")
	f.IntVar(&o.Retries, "retry", 0, "play a case that is not as expected up to so many times again; it is flaky, and not passed, if it is then")
	o.traceFlag(cmd)
	f.BoolVar(&o.repeat, "repeat-until-unexpected", false, "play all again and again, until something is not as expected: a report is of the last round")
}

// check returns what is wrong with the flags, and fits the jobs to what there is.
func (o *playing) check() error {
	if o.Timeout <= 0 || o.Jobs < 1 {
		return errors.New("--timeout and --jobs must be more than 0")
	}
	if o.Retries < 0 {
		return errors.New("--retry must not be less than 0")
	}
	if err := report.CheckFiles(o.reports); err != nil {
		return err
	}
	most, err := interop.MaxJobs()
	if err != nil {
		return broken(err)
	}
	o.Jobs = min(o.Jobs, most)
	return nil
}

// play runs a plan. The error has the exit code; without a report, nothing was run.
func (o *playing) play(ctx context.Context, p *plan) (*report.Report, error) {
	r := report.Begin(version(), slices.Concat(p.peers, p.missing, []*scenario.Peer{p.runner}), p.expect)
	r.Awaited = p.awaited
	var streams []*report.Stream
	for _, file := range o.reports {
		if filepath.Ext(file) != report.Streamed {
			continue
		}
		s, err := r.NewStream(ctx, file)
		if e := interrupted(ctx); err != nil && e != nil {
			return nil, e
		}
		if err != nil {
			return nil, broken(fmt.Errorf("the report cannot be written: %w", err))
		}
		streams = append(streams, s)
	}
	options := o.Options
	options.Runner, options.Recorder = p.runner, o.recorder()
	tell := progress(len(p.cases))
	options.Done = func(c scenario.Result) {
		tell(c)
		for _, s := range streams {
			s.Case(c)
		}
	}
	outcome := interop.Run(ctx, p.cases, p.expect, options)
	r.End(outcome)
	if outcome.Left != nil {
		fmt.Fprintf(os.Stderr, "scm: %v\n", outcome.Left)
	}
	var unwritten []error
	for _, s := range streams {
		if err := s.Close(r); err != nil {
			unwritten = append(unwritten, fmt.Errorf("the report cannot be written: %w", err))
		}
	}
	if err := errors.Join(unwritten...); err != nil {
		return r, broken(err)
	}
	if err := interrupted(ctx); err != nil {
		return r, err
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
	}
	var silent []error
	for _, name := range r.Silent() {
		silent = append(silent, fmt.Errorf("peer %s: none of its cases has a verdict", name))
	}
	if len(silent) > 0 {
		return r, &exitError{exitNone, errors.Join(silent...)}
	}
	return r, nil
}

// between is how many cases there are between two lines of progress, and quiet how long a long run may say nothing.
const (
	between = 1000
	quiet   = 10 * time.Second
)

// progress shows on standard error how far the run is: a bar on a terminal, and a
// line now and then elsewhere.
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
		if done%between == 0 || done > between && time.Since(last) > quiet {
			last = time.Now()
			fmt.Fprintf(os.Stderr, "scm: %d of %d cases, %d not as expected\n", done, total, unexpected)
		}
	}
}
