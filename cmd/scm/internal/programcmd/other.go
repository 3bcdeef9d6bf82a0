//go:build !linux

package programcmd

import (
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/spf13/cobra"
)

func Main() {}

func Poke() *cobra.Command {
	return cli.Unsupported("poke", "requires Linux, where it asks the kernel about descriptors")
}
