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
	return []*cobra.Command{cli.Unsupported("run", byKernel), cli.Unsupported("replay", byKernel), cli.Unsupported("smoke", byKernel)}
}

const byKernel = "requires Linux, where it asks the kernel about descriptors"

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
