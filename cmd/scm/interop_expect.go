package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/bounded"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/report"
	"github.com/spf13/cobra"
)

func expectCommand() *cobra.Command {
	var s selection
	update := false
	cmd := &cobra.Command{
		Use:   "expect REPORT",
		Short: "Hold a file of expected failures against a report, and rewrite it",
		Long: `Hold a file of expected failures against the JSON report of a run: report what does
not come true any more, and what was not expected. With --update, the file is
rewritten: what came true stays, with its reason; what did not is dropped, or
narrowed to the cases in which it did; what is new is added with "?" for a reason,
with which no run begins: somebody has to give one. Only lines that hold on the
kernel of the report are looked at.

A line is dropped or narrowed only if the peers of the report played all of its cases,
and none of them is flaky. Another one that did not come true, after a run of a part
(--run, --skip, --shard, --fail-fast, or cut short), is listed with "=" and stays. A
case that is flaky adds no line and drops none. A new line is the widest pattern that no
case of the report contradicts: after a part it can be about cases that were not played.
A finding of an older run that no line can be about, because the scenario is another now,
is listed with "?".

Exit status: 0 there is nothing to change, or it is changed; 1 there is, or a line has
"=" or "?" before it; 2 a line of the file is about no case of the scenarios, and no run
begins with it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if update && s.expect == "" {
				return fmt.Errorf("--update rewrites the file of --expect, and there is none")
			}
			if info, err := os.Stat(s.expect); update && err == nil && !info.Mode().IsRegular() {
				return fmt.Errorf("%s: not a regular file, and --update rewrites it", s.expect)
			}
			r, err := report.Read(args[0])
			if err != nil {
				return err
			}
			text, err := s.expectedText()
			if err != nil {
				return err
			}
			scenarios, err := s.scenarios()
			if err != nil {
				return err
			}
			versions := map[string]string{} // of the peers that could play
			for _, p := range r.Peers {
				if p.NotRun != "" {
					continue
				}
				versions[p.Name] = p.Version
			}
			u, err := scenario.UpdateExpectations(text, cmp.Or(r.System.Kind, scenario.KernelLinux), versions, scenarios, r.Cases)
			if err != nil {
				return err
			}
			for _, list := range []struct {
				mark  string
				lines []string
				why   string
			}{{"-", u.Dropped, ""}, {"=", u.Kept, ": not so in what was played, and stays: a case of it was not played, or is flaky"}, {"+", u.Added, ""}, {"?", u.Left, ": no line can be about it: the catalogue has another scenario of this name, or none"}} {
				for _, l := range list.lines {
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s%s\n", list.mark, l, list.why); err != nil {
						return broken(err)
					}
				}
			}
			changes := len(u.Dropped) + len(u.Added)
			if changes > 0 && update {
				if err := rewrite(s.expect, u.Text); err != nil {
					return broken(err)
				}
			}
			if changes > 0 && !update || len(u.Kept)+len(u.Left) > 0 {
				return &exitError{code: exitFail}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.Var((*fileName)(&s.expect), "expect", "`FILE` of expected failures, in place of the one inside")
	f.Var((*fileName)(&s.folder), "catalogue", "the scenarios are those of `DIR`; nothing is expected to fail there without --expect DIR/expected.txt")
	f.BoolVar(&update, "update", false, "rewrite the file of --expect")
	return cmd
}

// rewrite puts another text in a file, whole or not at all. A link to it stays one, and
// its mode, and where that is permitted its owner, as they are.
func rewrite(file string, text []byte) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	return report.Replace(file, text)
}

// expectedText is the file of expected failures, as it is written.
func (s *selection) expectedText() ([]byte, error) {
	switch {
	case s.expect != "":
		return bounded.ReadFile(s.expect, bounded.Text)
	case s.folder != "":
		return nil, nil
	}
	text, err := fs.ReadFile(catalogue.Files(), catalogue.ExpectedFile)
	if err != nil {
		return nil, broken(err)
	}
	return text, nil
}
