//go:build !unix

package main

import "github.com/spf13/cobra"

func socketCommands() []*cobra.Command {
	const why = "passes files through Unix sockets, and runs on Unix only"
	return []*cobra.Command{unsupported("send", why), unsupported("recv", why)}
}
