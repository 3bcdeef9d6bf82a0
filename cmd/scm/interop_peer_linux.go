package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/spf13/cobra"
)

// peerCommand is one of the peers inside, speaking on standard input and output.
func peerCommand() *cobra.Command {
	libs := peers.All()
	var names []string
	for _, lib := range libs {
		// The backend is the program's: only its answer to hello has it.
		names = append(names, strings.TrimSuffix(lib.Name, "-"+scm.Backend))
	}
	return &cobra.Command{
		Use:       "peer NAME",
		Short:     "Be one of the peers inside, on standard input and output",
		Long:      fmt.Sprintf("Be one of the peers inside, on standard input and output: %v.", names),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		Run: func(_ *cobra.Command, args []string) {
			peer.Main(libs[slices.Index(names, args[0])])
		},
	}
}
