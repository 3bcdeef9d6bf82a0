package main

import (
	"encoding/json"
	"fmt"

	"github.com/scm-rights/scm/interop"
	"github.com/spf13/cobra"
)

func listCommand() *cobra.Command {
	var s selection
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cases that run would play",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal()
			defer stop()
			p, err := s.plan(ctx, interop.DefaultTimeout)
			if err != nil {
				return err
			}
			if len(p.cases) == 0 {
				return &exitError{exitNone, fmt.Errorf("no cases")}
			}
			names := []string{}
			for _, c := range p.cases {
				names = append(names, c.Name())
			}
			out := cmd.OutOrStdout()
			if asJSON {
				err = json.NewEncoder(out).Encode(names)
			} else {
				for _, name := range names {
					if _, err = fmt.Fprintln(out, name); err != nil {
						break
					}
				}
			}
			if err != nil {
				return broken(err)
			}
			return nil
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list")
	return cmd
}
