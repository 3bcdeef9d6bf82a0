//go:build !linux

package suitecmd

import (
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

// linuxCommands returns replacements for the commands that start peers.
func linuxCommands() []*cobra.Command {
	var cmds []*cobra.Command
	for _, name := range onLinux {
		cmds = append(cmds, cli.Unsupported(name, "requires Linux, where it asks the kernel about descriptors"))
	}
	return cmds
}

// prepareList prepares the plan for the list command. Peers cannot be started on this system, so
// the plan contains only the cases in which the runner takes both roles.
func (p *plan) prepareList() error {
	p.missing = append(p.missing, p.peers...)
	p.peers, p.runner = nil, scenario.RunnerPeer()
	return p.selectCases()
}

// thisKernel returns no kernel, because this system is not Linux.
func thisKernel() expected.System { return expected.System{} }

// builtinPeers returns no peers, because this system cannot start them.
func builtinPeers() ([]*scenario.Peer, error) { return nil, nil }
