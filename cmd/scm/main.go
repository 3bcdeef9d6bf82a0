// Command scm passes open files between processes, records how programs do that, and runs
// the interop suite.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/cmd/scm/internal/programcmd"
	"github.com/scm-rights/scm/cmd/scm/internal/socketcmd"
	"github.com/scm-rights/scm/cmd/scm/internal/suitecmd"
	"github.com/scm-rights/scm/cmd/scm/internal/tracecmd"
	"github.com/scm-rights/scm/interop/process"
	"github.com/spf13/cobra"
)

func main() {
	tracecmd.Main()
	programcmd.Main()
	process.Main()
	os.Exit(run(os.Args[1:]))
}

// run executes the command line, and returns the exit code.
func run(args []string) int {
	root := rootCommand()
	accepted := false // the flags and the arguments have the form that the command accepts
	root.PersistentPreRun = func(*cobra.Command, []string) { accepted = true }
	root.SetArgs(args)
	out := &output{w: os.Stdout}
	root.SetOut(out)
	cmd, err := root.ExecuteC()
	exit := cli.Exit(cli.ExitUsage, err)
	switch {
	case errors.As(err, &exit) && exit.Code > cli.ExitSignal:
	case out.err != nil:
		exit = cli.Exit(cli.ExitBroken, out.err)
	case err == nil:
		return cli.ExitOK
	}
	if exit.Err != nil {
		cli.PrintError(exit.Err)
	}
	if exit.Code == cli.ExitUsage && !accepted {
		fmt.Fprint(os.Stderr, cli.UsageHint(cmd))
	}
	return exit.Code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "scm",
		Short: "Pass open files between processes, and test programs that do",
		Long: `Pass open files between processes, and test programs that do.

A separate command, scmvet, reports mistakes in Go programs that pass descriptors. To build it
in a checkout: go build -C cmd/scmvet -o $PWD/build/scmvet .`,
		Args:          cli.CommandArg,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionText(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(socketcmd.Send(), socketcmd.Recv(), suitecmd.Command(), programcmd.Poke(), tracecmd.Trace(), tracecmd.Diff(), versionCommand())
	return root
}

// An output writes to standard output and keeps the first write error. If a write failed, run
// returns exit code 4. Commands therefore need not check for write errors.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the backend and the platform",
		Args:  cli.ExactArgs(),
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

// versionText returns the output of the version command.
func versionText() string {
	return fmt.Sprintf("scm %s, backend %s, %s %s/%s", cli.Version(), scm.Backend, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
