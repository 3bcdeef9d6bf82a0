//go:build !unix

package main

import "github.com/spf13/cobra"

func socketCommands() []*cobra.Command {
	const why = "requires Unix, where it passes files through Unix sockets"
	return []*cobra.Command{unsupported("send", why), unsupported("recv", why)}
}
