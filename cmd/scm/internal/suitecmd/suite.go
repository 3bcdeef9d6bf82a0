// Package suitecmd implements scm interop, which runs the interop suite.
package suitecmd

import (
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/spf13/cobra"
)

// Command returns the interop command.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "interop",
		Short: "Test descriptor passing between peers in many languages",
		Args:  cli.CommandArg,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(linuxCommands()...)
	cmd.AddCommand(expectCommand(), listCommand(), showCommand(), copyCommand(), newPeerCommand(), checkCatalogueCommand())
	return cmd
}

// onLinux are the names of the commands that other systems list, but cannot run.
var onLinux = []string{"run", "replay", "summary", "smoke", "peer"}
