//go:build !linux

package main

import (
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

// linuxCommands are those that start peers.
func linuxCommands() []*cobra.Command {
	const why = "asks the Linux kernel about descriptors, and runs there only"
	return []*cobra.Command{
		linuxOnly("run", "Play the scenarios, and print who understands whom (Linux only)", why),
		linuxOnly("replay", "Play one case of a report again, and tell all of it (Linux only)", why),
		linuxOnly("smoke", "Ask whether the peers are themselves well (Linux only)", why),
	}
}

// started is the plan of list: no peer is started, and the cases are those of the runner.
func (in inputs) started() (*plan, error) {
	in.plan.missing = append(in.plan.missing, in.plan.peers...)
	in.plan.peers, in.plan.runner = nil, scenario.RunnerPeer()
	return in.plan, in.choose()
}

// insidePeers are those that can be started: none.
func insidePeers() ([]*scenario.Peer, error) { return nil, nil }
