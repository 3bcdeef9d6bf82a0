package suitecmd

import (
	"cmp"
	"os"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/interop/report"
	"github.com/spf13/cobra"
)

func summaryCommand() *cobra.Command {
	var s selection
	annotations := false
	cmd := &cobra.Command{
		Use:   "summary REPORT",
		Short: "Summarize a report, in at most 40 lines",
		Long: `Summarize a JSON report as Markdown, in at most 40 lines: the verdict of the run, the
causes of the cases that did not end as expected, and commands that run examples again. Use
it as the summary of a CI job, or as a comment on a merge request.

With --annotations, print up to ten workflow commands instead. GitHub shows each of them as
an annotation of the run. If an expected failure no longer occurs, the annotation is at its
line in the file of expected failures.

Pass the --catalogue and --expect flags of the run too. They become part of the commands
that run examples again.`,
		Args: cli.ExactArgs("REPORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, incomplete, err := report.ReadPartial(args[0])
			if err := cmp.Or(err, incomplete); err != nil {
				return err
			}
			r.Replay = s.replayPrefix(args, r.StrictKernel)
			if annotations { // output keeps the error, here and below
				_ = r.Annotations(cmd.OutOrStdout(), os.Getenv("GITHUB_WORKSPACE"))
				return nil
			}
			_ = r.Summary(cmd.OutOrStdout(), report.PageOf(args[0]))
			return nil
		},
	}
	s.catalogueFlags(cmd)
	cmd.Flags().BoolVar(&annotations, "annotations", false, "print workflow commands for GitHub instead of Markdown")
	return cmd
}
