//go:build !linux

package tracecmd

import (
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/spf13/cobra"
)

const why = "requires Linux, where it records system calls with ptrace"

func Main() {}

func Trace() *cobra.Command { return cli.Unsupported("trace", why) }
func Diff() *cobra.Command  { return cli.Unsupported("diff", why) }
