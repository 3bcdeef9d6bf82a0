package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/spf13/cobra"
)

// listed is a scenario as list prints it.
type listed struct {
	Name   string   `json:"name"`
	Hash   string   `json:"hash"`
	Kernel bool     `json:"kernel"`
	Play   string   `json:"play"`
	Types  []string `json:"types"`
	Rule   string   `json:"rule"`
}

func listCommand() *cobra.Command {
	var s selection
	asJSON, scenarios := false, false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cases that run would play, or the scenarios",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := s.read()
			if err != nil {
				return err
			}
			p, err := in.started()
			if err != nil {
				return err
			}
			if len(p.cases) == 0 {
				return &exitError{exitNone, fmt.Errorf("no cases")}
			}
			out := cmd.OutOrStdout()
			if scenarios {
				list := scenariosOf(p.cases)
				if asJSON {
					return printJSON(out, list)
				}
				for _, l := range list {
					if _, err := fmt.Fprintf(out, "%s\t%s\t%s\n", l.Name, l.Play, display.Line(l.Rule)); err != nil {
						return broken(err)
					}
				}
				return nil
			}
			names := []string{}
			for _, c := range p.cases {
				names = append(names, c.Name())
			}
			if asJSON {
				return printJSON(out, names)
			}
			for _, name := range names {
				if _, err := fmt.Fprintln(out, name); err != nil {
					return broken(err)
				}
			}
			return nil
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list")
	cmd.Flags().BoolVar(&scenarios, "scenarios", false, "list scenarios: the name, who plays, and the rule")
	return cmd
}

// printJSON prints a value in one line.
func printJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return broken(err)
	}
	_, err = w.Write(append(display.JSON(text), '\n'))
	return orBroken(err)
}

// scenariosOf lists the scenarios of the cases, each once.
func scenariosOf(cases []scenario.Case) (list []listed) {
	seen := map[string]bool{}
	for _, c := range cases {
		s := c.Scenario
		if !seen[s.Name] {
			seen[s.Name] = true
			list = append(list, listed{s.Name, s.Hash, s.Kernel(), string(s.Play), s.Types, s.Rule[0]})
		}
	}
	return list
}
