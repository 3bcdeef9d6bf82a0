package suitecmd

import "github.com/spf13/cobra"

// linuxCommands returns the commands that start peers.
func linuxCommands() []*cobra.Command {
	return []*cobra.Command{runCommand(), replayCommand(), summaryCommand(), smokeCommand(), peerCommand()}
}
