package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
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
number in the report, from 1. Of a .jsonl report that is cut off, what is whole is played.

This runs the commands that the report has for the two peers, with your rights, and shows
each on standard error before: replay a report only if you trust who wrote it. Where the
scm that a peer was inside is gone, it runs this one.`,
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
			r, cut, err := report.ReadPartial(args[0][:at])
			if err != nil {
				return err
			}
			if cut != nil { // its cases can be played all the same
				printError(cut)
			}
			was, err := find(r, args[0][at+1:])
			if err != nil {
				return err
			}
			p, err := replan(r, was)
			if err != nil {
				return err
			}
			if err := s.readScenarios(p); err != nil {
				return err
			}
			again, exit := o.perform(p)
			if again != nil && len(again.Cases) > 0 {
				tell(cmd.OutOrStdout(), p.cases[0], was, again.Cases[0])
			}
			return exit
		},
	}
	s.catalogueFlags(cmd)
	o.flags(cmd)
	return cmd
}

// replay is what to type to play a case of a run again, up to its name; none if none
// of its reports is for programs.
func (s *selection) replay(reports []string) string {
	i := slices.IndexFunc(reports, func(file string) bool {
		return filepath.Ext(file) == ".json" || filepath.Ext(file) == report.StreamExt
	})
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
	for i, c := range r.Cases {
		if c.Name == id || strconv.Itoa(i+1) == id {
			return c, nil
		}
	}
	return scenario.Result{}, fmt.Errorf("the report has no case %q", id)
}

// replan is a plan of one case, with the commands that the report has for its peers.
func replan(r *report.Report, was scenario.Result) (*plan, error) {
	inside, err := insidePeers()
	if err != nil {
		return nil, broken(err)
	}
	only, err := scenario.ParsePattern(was.Name)
	if err != nil {
		return nil, err
	}
	p := &plan{filter: scenario.Filter{Run: []scenario.Pattern{only}}}
	parts := strings.Split(was.Name, "/") // GROUP/ID/TYPE/SENDER/RECEIVER
	for _, peer := range r.Peers {
		switch {
		case peer.Name == scenario.RunnerName:
			continue
		case peer.NotRun != "" || !slices.Contains(parts[min(3, len(parts)):], peer.Name):
			p.missing = append(p.missing, scenario.Missing(peer.Name, "not of this case"))
			continue
		}
		if _, err := exec.LookPath(peer.Command[0]); err != nil { // the scm that it was inside may be gone
			for _, own := range inside {
				if own.Name == peer.Name && slices.Equal(own.Command[1:], peer.Command[1:]) {
					peer.Command = own.Command
				}
			}
		}
		fmt.Fprintln(os.Stderr, display.Block("", fmt.Sprintf("scm: runs peer %s of the report: %s", peer.Name, shellQuote(peer.Command))))
		p.peers = append(p.peers, scenario.Program(peer.Name, peer.Command...))
	}
	return p, nil
}

// tell prints a case that was played again, and what to type to each of its peers.
func tell(out io.Writer, c scenario.Case, was, now scenario.Result) {
	block := func(indent, text string) { fmt.Fprintln(out, display.Block(indent, text)) }
	if now.Hash != was.Hash {
		fmt.Fprintf(out, "the scenario is another than it was: %s, %s\n", now.Hash, was.Hash)
	}
	fmt.Fprintf(out, "%s: it was %s, and is %s\n", now.Name, was.Verdict, now.Verdict)
	if now.Why != "" {
		block("  ", now.Why)
	}
	for _, f := range now.Findings {
		block("  ", f.Located())
	}
	fmt.Fprintln(out)
	for _, l := range slices.Concat(now.Transcript, report.Trace(now)) {
		block("", l)
	}
	for i, peer := range []*scenario.Peer{c.A, c.B} {
		role := "AB"[i : i+1]
		fmt.Fprintf(out, "\n# by hand, %s, with its socket and its files as the descriptors of \"use\":\n", role)
		command := slices.Clone(peer.Command)
		if self, err := os.Executable(); err == nil && command[0] == "/proc/self/exe" { // in a shell, that is the shell
			command[0] = self
		}
		block("", "$ "+shellQuote(command))
		for _, said := range now.Transcript {
			if text, ok := strings.CutPrefix(said, role+">"); ok {
				fmt.Fprintln(out, strings.TrimPrefix(strings.TrimPrefix(text, "&"), " "))
			}
		}
	}
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
