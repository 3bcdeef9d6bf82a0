//go:build !unix

package socketcmd

import (
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/spf13/cobra"
)

const why = "requires Unix, where it passes files through Unix sockets"

func Send() *cobra.Command { return cli.Unsupported("send", why) }
func Recv() *cobra.Command { return cli.Unsupported("recv", why) }
