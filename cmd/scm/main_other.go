//go:build !linux

package main

import (
	"errors"

	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

// linuxCommands returns replacements for the commands that start peers.
func linuxCommands() []*cobra.Command {
	return []*cobra.Command{unsupported("run", byKernel), unsupported("replay", byKernel), unsupported("smoke", byKernel)}
}

const (
	byKernel = "requires Linux, where it asks the kernel about descriptors"
	byPtrace = "requires Linux, where it records system calls with ptrace"
)

func linuxMain() {}

func traceCommand() *cobra.Command { return unsupported("trace", byPtrace) }
func diffCommand() *cobra.Command  { return unsupported("diff", byPtrace) }
func pokeCommand() *cobra.Command  { return unsupported("poke", byKernel) }

// unsupported returns a command that always fails, because this system cannot run it.
func unsupported(use, why string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              use + " " + why,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return broken(errors.New(use + " " + why)) },
	}
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
