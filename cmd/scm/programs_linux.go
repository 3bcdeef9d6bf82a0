package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/programs"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
)

// acceptHelp is the paragraph for help texts about --accept and the reports.
const acceptHelp = `--accept reads accepted findings from a file. Each line says what was sent or injected,
the check and the program, and the reason. Braces contain alternatives, # begins a
comment:

  {byte,newline} leak@mydaemon it keeps them until the login times out

A version range limits a line to some versions, as in leak@mydaemon<2.4, and is compared
with --program-version. A line fails the run if the finding does not occur, unless the
reason begins with "flaky:". The check unread accepts that an item of scm poke has no
verdict. Lines about other programs, and about what did not run, are set aside. The other
rules are those of the files of scm interop (docs/testing-a-library.md).

--report writes a report. The extension of the file selects its format: .json, .xml
(JUnit) or .txt (what scm prints).`

// programsExit is the paragraph for help texts about the exit status.
const programsExit = `Exit status:
  0      no findings, except for accepted ones
  1      a finding that is not accepted, or an accepted one that did not occur
  2      wrong usage, or an unfinished reason
  4      it could not be found out, or not completely, for example because the server did
         not start, because it has not read an item of scm poke, or because the kernel
         does not let scm look at its descriptors. What was found is still reported
  128+N  signal N ended the run`

// programOptions are the flags of the commands that test programs.
type programOptions struct {
	name, version   string
	accept, reports []string
	settle, timeout time.Duration

	accepted []expected.Line
}

// programReports are the formats of a report about a program.
var programReports = report.Writers[*programs.Report]{
	".json": (*programs.Report).JSON,
	".xml":  (*programs.Report).JUnit,
	".txt":  (*programs.Report).Console,
}

func (o *programOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the `PROGRAM` in the report and in accepted findings (default: the base name of the server)")
	f.StringVar(&o.version, "program-version", "", "the `VERSION` of the server, for accepted findings with a version range")
	f.StringArrayVar(&o.accept, "accept", nil, "accept the findings in `FILE`; may be repeated")
	f.StringArrayVar(&o.reports, "report", nil, "write a report to `FILE`, creating its directory; may be repeated")
	f.DurationVar(&o.settle, "settle", 5*time.Second, "how long the server may take to close a descriptor, since the last one that it has closed")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long the server may take to start and to accept a connection")
}

// prepare checks the flags and reads the accepted findings. The server is the name of the program by default.
func (o *programOptions) prepare(server string) error {
	if o.name == "" {
		o.name = filepath.Base(server)
	}
	if !display.IsName(o.name) {
		return fmt.Errorf("the program needs a --name: %q is none", o.name)
	}
	if o.settle <= 0 || o.timeout <= 0 {
		return errors.New("--settle and --timeout must be greater than 0")
	}
	if err := programReports.Validate(o.reports); err != nil {
		return err
	}
	for _, file := range o.accept {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		list, err := programs.ParseAccepted(file, text)
		if err != nil {
			return err
		}
		o.accepted = append(o.accepted, list...)
	}
	return programs.ValidateAccepted(o.accepted, o.name, o.version)
}

// test calls run until a signal arrives, and reports what it returns. The tool is the command, without scm.
func (o *programOptions) test(cmd *cobra.Command, run func(ctx context.Context) ([]programs.Trial, error)) error {
	return untilSignal(func(ctx context.Context) error {
		kernel := witness.ThisKernel()
		r := programs.NewReport(cmd.CommandPath(), version(), o.name, o.version, kernel)
		trials, err := []programs.Trial(nil), procfs.Check()
		if err == nil {
			trials, err = run(ctx)
		}
		r.Trials = append(r.Trials, trials...)
		r.Accept(o.accepted)
		switch {
		case err != nil && ctx.Err() != nil:
			r.Broken = context.Cause(ctx).Error() // and untilSignal reports the signal
		case err != nil:
			r.Broken = err.Error()
		}
		_ = r.Console(cmd.OutOrStdout())
		for _, file := range o.reports {
			if err := programReports.WriteFile(file, r); err != nil {
				return writeError(err)
			}
		}
		switch {
		case r.Broken != "" || r.Undecided():
			return &exitError{code: exitBroken}
		case r.Failed():
			return &exitError{code: exitFail}
		}
		return nil
	})
}
