//go:build !unix

package main

import (
	"github.com/scm-rights/scm"
	"github.com/spf13/cobra"
)

func sendCommand() *cobra.Command {
	return nowhere("send", "Open files, and pass them through a socket (Unix only)")
}

func recvCommand() *cobra.Command {
	return nowhere("recv", "Receive files through a socket, and run a command with them (Unix only)")
}

func moveCommand() *cobra.Command { return &cobra.Command{Use: "recv-move", Hidden: true} }

// reportStatus is about the worker of recv.
func reportStatus(int) {}

func nowhere(use, short string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              short,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return broken(scm.ErrUnsupported)
		},
	}
}
