//go:build !linux

package main

import (
	"errors"

	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

// linuxCommands are those that start peers.
func linuxCommands() []*cobra.Command {
	const why = "asks the Linux kernel about descriptors, and runs there only"
	return []*cobra.Command{unsupported("run", why), unsupported("replay", why), unsupported("smoke", why)}
}

const byPtrace = "records system calls by ptrace as Linux has it, and runs there only"

func recorderMain() {}

func traceCommand() *cobra.Command { return unsupported("trace", byPtrace) }
func diffCommand() *cobra.Command  { return unsupported("diff", byPtrace) }

// unsupported is a command that this system cannot have.
func unsupported(use, why string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              use + " " + why,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return broken(errors.New(use + " " + why)) },
	}
}

// start is for list: no peer is started, and the cases are those of the runner.
func (p *plan) start() error {
	p.missing = append(p.missing, p.peers...)
	p.peers, p.runner = nil, scenario.RunnerPeer()
	return p.choose()
}

// insidePeers are those that can be started: none.
func insidePeers() ([]*scenario.Peer, error) { return nil, nil }
