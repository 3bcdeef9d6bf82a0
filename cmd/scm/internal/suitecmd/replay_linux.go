package suitecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

func replayCommand() *cobra.Command {
	o := runOptions{Options: interop.Options{Jobs: 1}}
	cmd := &cobra.Command{
		Use:   "replay REPORT#ID",
		Short: "Run one case of a report again, with details",
		Long: `Run one case of a JSON report again, with the peers of the report. Print its transcript,
and the commands to type into each peer by hand. ID is the name of the case, or its
position in the report, starting at 1. The report may be an incomplete .jsonl file.

Replay runs the peer commands in the report with your rights, and prints each of them on
standard error first. Only replay reports from people you trust. Scenarios from --catalogue
also run with your rights. If a peer was built into a copy of scm that no longer exists,
replay uses this scm.

The exit status is that of "scm interop run".`,
		Args: replayArgs,
		RunE: o.replay,
	}
	o.cases.catalogueFlags(cmd)
	o.sharedFlags(cmd)
	return cmd
}

func (o *runOptions) replay(cmd *cobra.Command, args []string) error {
	if o.Timeout <= 0 {
		return fmt.Errorf("--timeout must be greater than 0")
	}
	// The path of a report may contain a #, but the name of a case cannot.
	at := strings.LastIndex(args[0], "#")
	r, incomplete, err := report.ReadPartial(args[0][:at])
	if err != nil {
		return err
	}
	if incomplete != nil { // print a warning; the cases that it contains can be run
		cli.PrintError(incomplete)
	}
	old, err := findCase(r, args[0][at+1:])
	if err != nil {
		return err
	}
	p, err := replayPlan(r, old)
	if err != nil {
		return err
	}
	if err := o.cases.readScenarios(p); err != nil {
		return err
	}
	var replayed *report.Report
	exit := cli.UntilSignal(func(ctx context.Context) (exit error) {
		replayed, exit = o.resolveAndRun(ctx, p)
		return exit
	})
	if replayed != nil && len(replayed.Cases) > 0 {
		printReplay(cmd.OutOrStdout(), p.cases[0], old, replayed.Cases[0])
	}
	return exit
}

// replayArgs accepts one argument that contains a "#".
func replayArgs(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 1 && strings.HasPrefix(args[0], "#") && strings.Count(args[0], "#") == 1:
		return fmt.Errorf("%q is not REPORT#ID: there is no file before the #", args[0])
	case len(args) == 1 && strings.HasSuffix(args[0], "#"):
		return fmt.Errorf("%q is not REPORT#ID: there is no case after the #", args[0])
	case len(args) == 1 && strings.Contains(args[0], "#"):
		return nil
	case len(args) == 0:
		return errors.New("REPORT#ID is missing")
	case len(args) == 2 && !strings.Contains(args[0], "#"):
		return fmt.Errorf("join REPORT and ID with a #: %q", args[0]+"#"+args[1])
	}
	return fmt.Errorf("%q is not REPORT#ID", strings.Join(args, " "))
}

// findCase returns the case with this name, or at this position in the report, starting at 1.
func findCase(r *report.Report, id string) (scenario.Result, error) {
	var names []string
	for i, c := range r.Cases {
		if c.Name == id || strconv.Itoa(i+1) == id {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return scenario.Result{}, fmt.Errorf("the report has no case %q; it has %d%s", id, len(names), similarCases(id, names))
}

// similarCases returns the end of an error that names the cases with this GROUP/ID or beginning, or
// similar ones.
func similarCases(id string, names []string) string {
	const most = 10
	parts := strings.Count(id, "/") + 1
	var similar, beginnings []string
	for _, name := range names {
		all := strings.Split(name, "/")
		beginning := strings.Join(all[:min(parts, len(all))], "/")
		beginnings = append(beginnings, beginning)
		if beginning == id || all[1] == id {
			similar = append(similar, name)
		}
	}
	if len(similar) == 0 {
		return expected.DidYouMean(id, beginnings)
	}
	more := len(similar) - most
	if more > 0 {
		similar = append(similar[:most], fmt.Sprintf("and %d more", more))
	}
	return ", of which these match:\n" + strings.Join(similar, "\n")
}

// replayPlan returns a plan for one case, with the peer commands from the report.
func replayPlan(r *report.Report, old scenario.Result) (*plan, error) {
	builtin, err := builtinPeers()
	if err != nil {
		return nil, cli.Broken(err)
	}
	only, err := expected.ParsePattern(old.Name)
	if err != nil {
		return nil, err
	}
	p := &plan{filter: scenario.Filter{Run: []expected.Pattern{only}}, given: r.Given}
	parts := strings.Split(old.Name, "/") // GROUP/ID/TYPE/SENDER/RECEIVER
	for _, peer := range r.Peers {
		switch {
		case peer.Name == scenario.RunnerName:
			continue
		case peer.NotRun != "" || !slices.Contains(parts[min(3, len(parts)):], peer.Name):
			p.missing = append(p.missing, scenario.Missing(peer.Name, "not part of this case"))
			continue
		}
		if _, err := exec.LookPath(peer.Command[0]); err != nil { // it was built into an scm that no longer exists
			for _, own := range builtin {
				if own.Name == peer.Name && slices.Equal(own.Command[1:], peer.Command[1:]) {
					peer.Command = own.Command
				}
			}
		}
		fmt.Fprintln(os.Stderr, display.Block("", fmt.Sprintf("scm: running peer %s of the report: %s", peer.Name, shellQuote(peer.Command))))
		p.peers = append(p.peers, scenario.Program(peer.Name, peer.Command...))
	}
	return p, nil
}

// printReplay prints the result of running a case again, and the commands to type into each of its peers.
func printReplay(out io.Writer, c scenario.Case, old, now scenario.Result) {
	block := func(indent, text string) { fmt.Fprintln(out, display.Block(indent, text)) }
	if now.Hash != old.Hash {
		fmt.Fprintf(out, "the scenario has changed: its hash was %s, and is %s\n", old.Hash, now.Hash)
	}
	fmt.Fprintf(out, "%s: was %s, is now %s\n", now.Name, old.Verdict, now.Verdict)
	short := report.Abbreviate(now)
	if short.Why != "" {
		block("  ", short.Why)
	}
	for _, f := range short.Findings {
		block("  ", f.Located())
	}
	fmt.Fprintln(out)
	for _, l := range slices.Concat(short.Transcript, report.Trace(short)) {
		block("", l)
	}
	for i, peer := range []*scenario.Peer{c.A, c.B} {
		role := "AB"[i : i+1]
		fmt.Fprintf(out, "\n# To run %s by hand, with its socket and its files as the descriptors in \"use\":\n", role)
		command := slices.Clone(peer.Command)
		// in a shell, that would be the shell
		if self, err := os.Executable(); err == nil && command[0] == "/proc/self/exe" {
			command[0] = self
		}
		block("", "$ "+shellQuote(command))
		for _, line := range now.Transcript {
			if text, ok := strings.CutPrefix(line, role+">"); ok {
				fmt.Fprintln(out, strings.TrimPrefix(strings.TrimPrefix(text, "&"), " "))
			}
		}
	}
}
