package suitecmd

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
)

// thisKernel returns the kernel, whose expected failures apply.
func thisKernel() expected.System { return witness.ThisKernel() }

// builtinPeers returns the peers that are built into scm. Each is the command "interop peer NAME".
func builtinPeers() (list []*scenario.Peer, err error) {
	self, err := os.Executable()
	if err != nil {
		err = cmp.Or(procfs.Check(), err)
	}
	for _, lib := range builtin.All() {
		list = append(list, scenario.Program(lib.Name, self, "interop", "peer", shortName(lib)))
	}
	return list, err
}

// shortName returns the name of a peer without the backend, because scm has only one.
func shortName(lib peer.Library) string { return strings.TrimSuffix(lib.Name, "-"+scm.Backend) }

// peerCommand returns the command that acts as a built-in peer.
func peerCommand() *cobra.Command {
	libs := map[string]peer.Library{}
	for _, lib := range builtin.All() {
		libs[shortName(lib)] = lib
	}
	names := slices.Sorted(maps.Keys(libs))
	return &cobra.Command{
		Use:       "peer NAME",
		Short:     "Act as a built-in peer, on standard input and output",
		Long:      fmt.Sprintf("Act as a built-in peer, on standard input and output. NAME is one of: %s.", strings.Join(names, ", ")),
		Args:      cobra.MatchAll(cli.ExactArgs("NAME"), cobra.OnlyValidArgs),
		ValidArgs: names,
		Run:       func(_ *cobra.Command, args []string) { peer.Main(libs[args[0]]) },
	}
}
