package suitecmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

var expectCommandHelp = `Compare a file of expected failures with the JSON report of a whole run. Print the lines
to remove (-), because the failure no longer occurs, and the lines to add (+) for
unexpected failures, each with an example case. To write the file after a run with
--report report.json:

  scm interop expect --update --expect FILE report.json

--update rewrites FILE, or creates it and its directory. If --expect is repeated, only the
last file changes. A failure that the built-in list or another file expects needs no line in
FILE. --expect=none turns off the built-in list.

--update removes a line if its failure did not occur in a case that the line selects, unless
a line whose reason begins with "flaky:" selects the case too. For the cases in which it did
occur, it adds lines with the same reason. It also removes lines, and alternatives in their
braces, that apply to no case. The reason of any other new line begins with "?".
Complete it and remove the "?" before the next run, which otherwise rejects the file. If only
some partners or some runs showed a failure, the new reason begins with "flaky: ?". Flaky
lines stay. So do lines about some releases of Linux, such as kernel<5.15, unless the run had
--strict-kernel: they are printed with "=".

The report must be of a run without --run, --skip, --few-pairs and --fail-fast that
ended normally. Lines about the kernel stay if no kernel scenario ran, and lines about peers
that did not take part stay too.

Exit status:
  0  there is nothing to change, or --update has changed the file
  1  there is something to change
  2  wrong usage, or the report is of a part of the cases or of other scenarios
  4  the file cannot be written`

// expectOptions contains the flags of expect.
type expectOptions struct {
	lists  selection
	update bool
}

func expectCommand() *cobra.Command {
	var o expectOptions
	cmd := &cobra.Command{
		Use:   "expect REPORT",
		Short: "Compare the expected failures with a report, and update them",
		Long:  expectCommandHelp,
		Args:  cli.ExactArgs("REPORT"),
		RunE:  o.run,
	}
	o.lists.catalogueFlags(cmd)
	cmd.Flags().BoolVar(&o.update, "update", false, "rewrite the last file that --expect names, or create it")
	return cmd
}

func (o *expectOptions) run(cmd *cobra.Command, args []string) error {
	r, err := report.Read(args[0])
	if err != nil {
		return err
	}
	lists, err := o.lists.listsToCompare(o.update, r.System.Identity().Kind)
	if err != nil {
		return err
	}
	if r.Cut != "" {
		return fmt.Errorf("%s: the report is not of a whole run, because the run was cut short: %s", args[0], r.Cut)
	}
	scenarios, err := o.lists.loadScenarios()
	if err != nil {
		return err
	}
	versions := map[string]string{} // of the peers that took part
	known := []string{scenario.KernelName}
	for _, p := range r.Peers {
		known = append(known, p.Name)
		if p.NotRun == "" {
			versions[p.Name] = p.Version
		}
	}
	u, err := scenario.UpdateExpectations(lists, scenarios, scenario.ReportedRun{
		System:       r.System.Identity(),
		StrictKernel: r.StrictKernel,
		Versions:     versions,
		Known:        known,
		Given:        r.Given,
		Results:      r.Cases,
	})
	if err != nil {
		return err
	}
	printUpdate(cmd.OutOrStdout(), u)
	changes := len(u.Removed) + len(u.Added)
	if o.update && (changes > 0 || lists.Missing) {
		if err := report.ReplaceFile(lists.File, u.Text); err != nil {
			return cli.Broken(err)
		}
	}
	if o.update && u.Unfinished() {
		fmt.Fprintf(os.Stderr, "scm: complete the reasons of the new lines in %s, and remove the \"?\"\n", display.Line(lists.File))
	}
	if changes > 0 && !o.update {
		return cli.Exit(cli.ExitFail, nil)
	}
	return nil
}

// printUpdate prints the changes.
func printUpdate(w io.Writer, u expected.Update) {
	for _, l := range u.Removed {
		fmt.Fprintf(w, "- %s\n", display.Line(l.Text()))
	}
	for _, l := range u.Noted {
		fmt.Fprintf(w, "= %s: did not occur on this kernel; kept, because a vendor may have backported the change\n", display.Line(l.Text()))
	}
	for _, a := range u.Added {
		fmt.Fprintf(w, "+ %s\n", display.Line(a.Text()))
		if a.Example != "" {
			fmt.Fprintf(w, "    for example %s\n", display.Line(a.Example))
		}
	}
}

// listsToCompare reads the lists that the flags name, for a report from a kernel of this kind. If they name no file,
// the list to compare is the built-in one, on gVisor the one for gVisor.
func (s *selection) listsToCompare(update bool, kind string) (lists scenario.Lists, err error) {
	lists, err = s.readLists(update, kind)
	switch {
	case err != nil || lists.File != "":
		return lists, err
	case update:
		return lists, errors.New("--update requires --expect FILE")
	case !s.usesBuiltinList():
		return lists, nil
	}
	lists = scenario.Lists{File: catalogue.ExpectedFile}
	if kind == expected.GVisor {
		lists.File = catalogue.GVisorFile
		lists.Given, err = catalogue.Expected(expected.Linux)
	}
	if err == nil {
		lists.Text, err = fs.ReadFile(catalogue.Files(), lists.File)
	}
	if err == nil {
		lists.Last, err = scenario.ParseExpectations(lists.File, lists.Text)
	}
	return lists, err
}

// A listedScenario is a scenario in the JSON output of the list command.
type listedScenario struct {
	Name   string   `json:"name"`
	Hash   string   `json:"hash"`
	Kernel bool     `json:"kernel"`
	Play   string   `json:"play"`
	Types  []string `json:"types"`
	Rule   string   `json:"rule"`
	IDs    []string `json:"ids"` // of sources.txt in interop/catalogue
}

func listCommand() *cobra.Command {
	var s selection
	asJSON, scenarios := false, false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cases that \"run\" would run, or their scenarios",
		Long: `List the cases that "run" would run with the same flags, or their scenarios. On
Linux, this starts each peer once, to ask what it supports.

` + patternHelp,
		Args: cli.NoArgs(selectionHint),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := s.newPlan()
			if err != nil {
				return err
			}
			if err := p.prepareList(); err != nil {
				return err
			}
			if len(p.cases) == 0 {
				return cli.Exit(cli.ExitNone, errors.New("no cases"))
			}
			var names []string
			var list []listedScenario
			for _, c := range p.cases {
				names = append(names, c.Name())
				s := c.Scenario
				if !slices.ContainsFunc(list, func(l listedScenario) bool { return l.Name == s.Name }) {
					list = append(list, listedScenario{s.Name, s.Hash, s.Kernel(), string(s.Play), s.Types, s.Rule[0], catalogue.SourceIDs(s)})
				}
			}
			switch out := cmd.OutOrStdout(); {
			case scenarios && asJSON:
				cli.PrintJSON(out, list)
			case asJSON:
				cli.PrintJSON(out, names)
			case scenarios:
				for _, l := range list {
					fmt.Fprintf(out, "%s\t%s\t%s\n", l.Name, l.Play, display.Line(l.Rule))
				}
			default:
				fmt.Fprintln(out, strings.Join(names, "\n"))
			}
			return nil
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list")
	cmd.Flags().BoolVar(&scenarios, "scenarios", false, "list scenarios instead of cases: the name, the play (pair, solo, …) and the rule, with --json also the IDs of its sources")
	return cmd
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show GROUP/ID…",
		Short:             "Print the text of scenarios, or the names of the scenarios in a GROUP",
		Args:              cli.NeedArgs("GROUP/ID"),
		ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				group := slices.DeleteFunc(catalogue.Names(), func(n string) bool {
					in, _ := path.Match(name, path.Dir(n))
					return !in
				})
				if len(group) > 0 {
					fmt.Fprintln(cmd.OutOrStdout(), strings.Join(group, "\n"))
					continue
				}
				text, err := catalogue.Text(name)
				if err != nil {
					return err
				}
				_, _ = cmd.OutOrStdout().Write(text) // output keeps the error
			}
			return nil
		},
	}
}

func copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy DIR",
		Short: "Copy the built-in scenarios to a new directory",
		Long: `Copy the built-in scenarios to a new directory: peer/GROUP/ID.txt, kernel/GROUP/ID.txt,
expected.txt and, for runs on gVisor, expected-gvisor.txt. README.md in DIR, DIR/peer and
DIR/kernel explains how to write a scenario, and PEERS.md how to write a peer. To run the
scenarios:

  scm interop run --kernel --catalogue DIR --expect DIR/expected.txt`,
		Args: cli.ExactArgs("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			if _, err := os.Lstat(dir); err == nil || dir == "" {
				return fmt.Errorf("copy needs the name of a new directory, not %q", dir)
			}
			err := os.CopyFS(dir, catalogue.Files())
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "PEERS.md"), peers.Contract, 0o666)
			}
			if err != nil {
				return cli.Broken(err)
			}
			return nil
		},
	}
}

func newPeerCommand() *cobra.Command {
	test := false
	cmd := &cobra.Command{
		Use:   "new-peer LANGUAGE",
		Short: "Print the skeleton of a peer",
		Long: `Print a peer without a library to standard output. It reads and answers all commands. In
the two functions where your library is to be called, it answers "unsupported".

Save it under the name in the second column, then build and run it:

` + peers.SkeletonUses() + `
Check it, fill in the two functions, and run the scenarios. For example:

  scm interop smoke --builtin=false --peer mine="python3 peer.py"
  scm interop run --peer mine="python3 peer.py" --report report.html

--test prints tests/interop.rs instead, with which "cargo test" builds such a peer from
examples/peer.rs and runs the scenarios with it. In Go, use package interoptest.`,
		Args:      cli.ExactArgs("LANGUAGE"),
		ValidArgs: peers.SkeletonLanguages(),
		RunE: func(cmd *cobra.Command, args []string) error {
			skeleton, err := peers.FindSkeleton(args[0])
			if err == nil && test {
				skeleton.Text, err = testFile(skeleton.Language)
			}
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(skeleton.Text)
			return err
		},
	}
	cmd.Flags().BoolVar(&test, "test", false, "print the tests that run the scenarios (rust)")
	return cmd
}

// testFile returns the source of a test that runs the scenarios with a peer.
func testFile(language string) ([]byte, error) {
	if language != "rust" {
		return nil, fmt.Errorf("--test works only with rust, not with %s", language)
	}
	list, err := catalogue.Scenarios()
	var groups []string
	for _, s := range list {
		if group, _, _ := strings.Cut(s.Name, "/"); !s.Kernel() && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return peers.RustTest(groups), err
}

func checkCatalogueCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-catalogue [DIR]",
		Short: "Check the scenarios in a directory, or the built-in ones",
		Long: `Check the scenarios in a directory, or the built-in ones. The directory has the layout that
"copy" writes, peer/GROUP/ID.txt and kernel/GROUP/ID.txt, or just GROUP/ID.txt. Each
scenario must be readable and able to fail, have a rule and its source and a reason for
each alternative, and exist only once. If there is an expected.txt or
expected-gvisor.txt, each line must apply to a case and have a finished reason.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := fs.FS(catalogue.Files()), error(nil)
			if len(args) > 0 {
				if files, err = catalogue.Open(args[0]); err != nil {
					return err
				}
			}
			if wrong := catalogue.Validate(files); len(wrong) > 0 {
				return cli.Exit(cli.ExitFail, errors.Join(wrong...))
			}
			list, err := catalogue.Load(files)
			peers := slices.DeleteFunc(slices.Clone(list), (*scenario.Scenario).Kernel)
			fmt.Fprintf(cmd.OutOrStdout(), "%d scenarios of peers, %d of the kernel\n", len(peers), len(list)-len(peers))
			return err
		},
	}
}
