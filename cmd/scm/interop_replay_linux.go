package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
)

func replayCommand() *cobra.Command {
	var s selection
	o := playing{Options: interop.Options{Jobs: 1}}
	cmd := &cobra.Command{
		Use:   "replay REPORT#ID",
		Short: "Play one case of a report again, and tell all of it",
		Long: `Play one case of a JSON report again, with the peers of the report, and print what was
said, and the lines to type to the peers by hand. ID is the name of the case, or its
number in the report, from 1. Of a .jsonl report that is cut off, as by the end of its
run, the cases that are whole can be played: a warning is on standard error.

This runs the commands that the report has for the two peers, with your rights: replay
a report only if you trust who wrote it. Where the scm that a peer was inside is gone, it
runs this one. Each command is shown on standard error before it is run.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Timeout <= 0 {
				return fmt.Errorf("--timeout must be more than 0")
			}
			// The path of a report may have one of its own, and no case has.
			at := strings.LastIndex(args[0], "#")
			if at < 0 {
				return fmt.Errorf("%q is not REPORT#ID", args[0])
			}
			file, id := args[0][:at], args[0][at+1:]
			r, cut, err := report.ReadPart(file)
			if err != nil {
				return err
			}
			if cut != nil { // its cases can be played all the same
				printError(cut)
			}
			was, err := find(r, id)
			if err != nil {
				return err
			}
			scenarios, err := s.scenarios()
			if err != nil {
				return err
			}
			expected, err := s.expectations()
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(true) // all is read: until then a signal ends the program
			defer stop()
			end := adopt()
			defer end()
			p, err := replan(ctx, scenarios, expected, r, was, o.Timeout)
			if err != nil {
				return err
			}
			again, exit := o.play(ctx, p)
			end()
			if err := interrupted(ctx); err != nil {
				exit = err // while the adopted were ended, perhaps
			}
			stop()
			if again == nil || len(again.Cases) == 0 {
				return exit
			}
			now := again.Cases[0]
			out := &lines{w: cmd.OutOrStdout()}
			if now.Hash != was.Hash {
				out.printf("the scenario is another than it was: %s, %s\n", now.Hash, was.Hash)
			}
			out.printf("%s: it was %s, and is %s\n", now.Name, was.Verdict, now.Verdict)
			if now.Why != "" {
				out.block("  ", now.Why)
			}
			for _, f := range now.Findings {
				out.block("  ", f.Located())
			}
			out.printf("\n")
			for _, l := range now.Transcript {
				out.block("", l)
			}
			for _, l := range report.Trace(now) {
				out.block("", l)
			}
			out.byHand(p.cases[0], now)
			if out.err != nil {
				return broken(out.err)
			}
			return exit
		},
	}
	f := cmd.Flags()
	f.Var((*fileName)(&s.folder), "catalogue", "the scenarios are those of `DIR`; nothing is expected to fail there without --expect DIR/expected.txt")
	f.Var((*fileName)(&s.expect), "expect", "`FILE` of expected failures, in place of the one inside")
	f.DurationVar(&o.Timeout, "timeout", process.DefaultTimeout, "deadline for each answer")
	o.traceFlag(cmd)
	return cmd
}

// replay is what to type to play a case of a run again, up to its name; none if none
// of its reports is for programs.
func (s *selection) replay(reports []string) string {
	i := slices.IndexFunc(reports, func(file string) bool { return slices.Contains([]string{".json", report.Streamed}, filepath.Ext(file)) })
	if i < 0 {
		return ""
	}
	command := []string{"scm", "interop", "replay"}
	if s.folder != "" {
		command = append(command, "--catalogue", s.folder)
	}
	if s.expect != "" {
		command = append(command, "--expect", s.expect)
	}
	return shellQuote(append(command, reports[i])) + "#"
}

// find finds a case by its name or its number.
func find(r *report.Report, id string) (scenario.Result, error) {
	if n, err := strconv.Atoi(id); err == nil && n >= 1 && n <= len(r.Cases) {
		return r.Cases[n-1], nil
	}
	i := slices.IndexFunc(r.Cases, func(c scenario.Result) bool { return c.Name == id })
	if i < 0 {
		return scenario.Result{}, fmt.Errorf("the report has no case %q", id)
	}
	return r.Cases[i], nil
}

// isGone reports whether there is no such program any more.
func isGone(file string) bool {
	_, err := exec.LookPath(file)
	return err != nil
}

// replan is a plan of one case, with the commands that the report has for its peers.
func replan(ctx context.Context, scenarios []*scenario.Scenario, expected []scenario.Expectation, r *report.Report, was scenario.Result, timeout time.Duration) (p *plan, err error) {
	p = &plan{}
	if p.runner, err = process.Runner(); err != nil {
		return nil, broken(fmt.Errorf("the runner's own peer: %w", err))
	}
	inside, err := insidePeers()
	if err != nil {
		return nil, broken(err)
	}
	parts := strings.Split(was.Name, "/") // GROUP/ID/TYPE/SENDER/RECEIVER
	for _, peer := range r.Peers {
		for _, own := range inside {
			if own.Name == peer.Name && len(peer.Command) > 0 && slices.Equal(own.Command[1:], peer.Command[1:]) && isGone(peer.Command[0]) {
				peer.Command = own.Command
			}
		}
		if peer.NotRun == "" && peer.Name != scenario.RunnerName && slices.Contains(parts[min(3, len(parts)):], peer.Name) {
			p.peers = append(p.peers, scenario.Program(peer.Name, peer.Command...))
		} else if peer.Name != scenario.RunnerName {
			p.missing = append(p.missing, scenario.Missing(peer.Name, "not of this case"))
		}
	}
	for _, peer := range p.peers {
		fmt.Fprintln(os.Stderr, display.Block("", fmt.Sprintf("scm: runs peer %s of the report: %s", peer.Name, shellQuote(peer.Command))))
	}
	for _, peer := range p.peers {
		if err := process.ProbeContext(ctx, peer, timeout); err != nil {
			if err := interrupted(ctx); err != nil {
				return nil, err
			}
			return nil, broken(fmt.Errorf("peer %s: %w", peer.Name, err))
		}
	}
	if p.expect, err = scenario.Expect(expected, witness.ThisKernel(), scenarios, p.peers, p.missing, p.runner); err != nil {
		return nil, fmt.Errorf("expected failures: %w", err)
	}
	for _, c := range scenario.Plan(scenarios, p.peers, p.runner) {
		if c.Name() == was.Name {
			p.cases = append(p.cases, c)
		}
	}
	if len(p.cases) == 0 {
		return nil, fmt.Errorf("there is no case %s any more", was.Name)
	}
	return p, nil
}

// lines keeps the first error.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) printf(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format, args...)
	}
}

// block prints what a peer may have written.
func (l *lines) block(indent, text string) { l.printf("%s\n", display.Block(indent, text)) }

// byHand prints what to type to each of the peers, in the order of the transcript.
func (l *lines) byHand(c scenario.Case, r scenario.Result) {
	for _, side := range []struct {
		role string
		peer *scenario.Peer
	}{{"A", c.A}, {"B", c.B}} {
		l.printf("\n# by hand, %s, with its socket and its files as the descriptors of \"use\":\n", side.role)
		l.block("", "$ "+shellQuote(typed(side.peer.Command)))
		for _, said := range r.Transcript {
			text, ok := strings.CutPrefix(said, side.role+">")
			if ok {
				l.printf("%s\n", strings.TrimPrefix(strings.TrimPrefix(text, "&"), " "))
			}
		}
	}
}

// typed is a command as a shell can run it: there /proc/self/exe is the shell.
func typed(command []string) []string {
	if self, err := os.Executable(); err == nil && len(command) > 0 && command[0] == "/proc/self/exe" {
		return append([]string{self}, command[1:]...)
	}
	return command
}

// shellQuote writes a command as a shell takes it.
func shellQuote(command []string) string {
	var words []string
	for _, w := range command {
		if strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") || w == "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
