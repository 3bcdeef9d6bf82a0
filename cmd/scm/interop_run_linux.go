package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/report"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func runCommand() *cobra.Command {
	var s selection
	var file string
	o := interop.Options{}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Play the scenarios, and print who understands whom",
		Long: `Play the scenarios between every pair of peers, and print who understands whom.

Exit status: 0 all as expected, 1 something is not, 2 wrong usage, 3 nothing ran,
4 a peer or the set-up is broken, 128 and its number after a signal.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Timeout <= 0 || o.Jobs < 1 {
				return errors.New("--timeout and --jobs must be more than 0")
			}
			most, err := interop.MaxJobs()
			if err != nil {
				return broken(err)
			}
			o.Jobs = min(o.Jobs, most)
			ctx, stop := untilSignal()
			defer stop()
			p, err := s.plan(ctx, o.Timeout)
			if err != nil {
				return err
			}
			r, exit := play(ctx, p, o)
			if file != "" {
				if err := r.WriteJSON(file); err != nil {
					return broken(fmt.Errorf("the report cannot be written: %w", err))
				}
			}
			if asJSON {
				err = r.JSON(cmd.OutOrStdout())
			} else {
				err = r.Console(cmd.OutOrStdout())
			}
			if err != nil {
				return broken(err)
			}
			return exit
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&file, "report", "", "write the JSON report to `FILE`")
	f.BoolVar(&asJSON, "json", false, "print the JSON report in place of the matrix")
	f.IntVar(&o.Jobs, "jobs", runtime.NumCPU(), "play so many pairs of peers at once")
	f.DurationVar(&o.Timeout, "timeout", interop.DefaultTimeout, "deadline for each answer")
	return cmd
}

// play runs a plan. The error has the exit code.
func play(ctx context.Context, p *plan, o interop.Options) (*report.Report, error) {
	o.Done = progress(len(p.cases))
	started := time.Now()
	outcome := interop.Run(ctx, p.cases, p.expect, o)
	everybody := slices.Concat(p.peers, p.missing, []*interop.Peer{p.runner})
	r := report.New(version(), started, everybody, p.expect, outcome)

	if err := interrupted(ctx); err != nil {
		return r, err
	}
	switch {
	case !r.Totals.AsExpected():
		return r, &exitError{code: exitFail}
	case slices.ContainsFunc(outcome.Results, func(c interop.Result) bool { return c.Broken }):
		return r, &exitError{code: exitBroken}
	case r.Totals.Verdicts() == 0:
		return r, &exitError{exitNone, errors.New("nothing ran")}
	}
	return r, nil
}

// progress shows a bar where standard error is a terminal.
func progress(total int) func(interop.Result) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	return func(interop.Result) { _ = bar.Add(1) } // a bar that cannot be drawn is no reason to stop
}
