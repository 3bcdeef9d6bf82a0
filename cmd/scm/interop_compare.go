package main

import (
	"github.com/scm-rights/scm/interop/report"
	"github.com/spf13/cobra"
)

func compareCommand() *cobra.Command {
	exact := false
	cmd := &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Hold a report against an older one, case by case",
		Long: `Hold a JSON report against an older one, case by case: what is worse, better, or
otherwise different, be it expected or not. A case that failed already is worse if
it fails another check too, or that of another peer. A case that OLD does not have is
worse if it fails and that is not expected. The reports may be of two versions of a
peer, two kernels, or two runs that should be the same.

Exit status: 0 nothing is worse, 1 something is; with --exact, 1 if anything differs.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := report.Read(args[0])
			if err != nil {
				return err
			}
			new, err := report.Read(args[1])
			if err != nil {
				return err
			}
			c := report.Compare(old, new)
			if err := c.Console(cmd.OutOrStdout()); err != nil {
				return broken(err)
			}
			if len(c.Worse) > 0 || exact && len(c.Better)+len(c.Other)+c.New > 0 {
				return &exitError{code: exitFail}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&exact, "exact", false, "no difference is allowed")
	return cmd
}
