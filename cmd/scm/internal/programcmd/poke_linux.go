// Package programcmd implements scm poke.
package programcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/cmd/scm/internal/programs"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// parseType returns the type of socket with a name, or 0 for "".
func parseType(name string) (int, error) {
	typ, known := programs.SocketTypes[name]
	if !known && name != "" {
		return 0, fmt.Errorf("unknown --type %q: use stream, dgram or seqpacket", name)
	}
	return typ, nil
}

var pokeHelp = `Start SERVER and connect to its socket, as any of its clients can. Send a few bytes with
descriptors that it did not ask for, close the connection, and ask the kernel whether the
server still has these descriptors. Neither a client nor its protocol is needed.

The items, each on connections of its own:

` + programs.ItemsHelp() + `
scm reports what the server and its children keep (leak), if the server ends (crash),
and if it runs but no longer accepts connections, or no longer reads datagrams (refuses).
The server is stopped at the end, and started again after a crash. If it ends in the same
way after the same bytes without a descriptor, that is not a finding. A server that exits
with status 0 after a connection is started again for the next one.

An item that the server does not read has no verdict, and the exit status is 4. The same
applies if the server's descriptor table is full. If the server has several processes or
threads, scm looks at the table of the one that has accepted the connection. If several
have a datagram socket open, scm only notices if all their tables are full. In total, scm
waits at most one and a half times --timeout for the server to read, and then about a
second for each message. If the server closes the connection after one message, scm does
not try the item second. This is not a failure: the exit status stays 0, and the test is
skipped in JUnit's format.

A server that closes a descriptor late keeps none. scm waits until the server has closed
all of them, or has closed none for --settle. Use more if a garbage collector closes
them. A server that stores every descriptor on purpose is reported, and the finding can
be accepted. To see whether it stores only a limited number, such as the last eight, scm
then sends the items whose descriptors it keeps again, just as often, and a third time if
it keeps more, but not all of them. If it keeps no more the last time, and its descriptor
table has space, that is a note, not a finding. If it can store all descriptors of the
first two times, that is a finding. scm does not find descriptors that the server has
passed on to other processes, or sent to one of its own sockets. It reads the descriptor
tables of all threads. If kcmp(2) is missing or not permitted, it does not know which
threads share a table, and counts the same descriptor in several threads once. If several
threads have tables of their own, and each keeps one descriptor, scm can then mistake this
for a limited number.

A file can stay open after its descriptor is closed. scm counts the fixed files of each
io_uring that has a descriptor. It does not find those of an io_uring whose own
descriptor the server has closed, or files that the server has mapped into its memory. If
an io_uring is so busy that the kernel does not show its fixed files, scm ends with status
4, and says so. Before Linux 6.15, such an io_uring can appear to have none.

If the path of the socket contains the PID of the server, use a pattern with a * instead.
Zero bytes at the end of an abstract name are written as @, as in /proc/net/unix, or \0.

Warning: scm poke can end the server, or make it run out of descriptors. With --pid, it
therefore leaves out the items 253 and path, and sends each message once, unless
--dangerous is set. It sends a message again if the server keeps its descriptors, or
closes a stream before it has read all of it. With --pid, scm cannot find out whether the
bytes alone end the server, and must run as the same user and group as the server, or as
root.

--list makes no connection. It prints the sockets on which processes listen, and bound
datagram sockets, in this network namespace: a process, the type, which users may be able
to connect (any, group:NAME, user:NAME, or unknown if there is no such path), the
executable and the address. Run it as root to see the processes of all users. With
--json, it also prints further processes that have the socket open.

Many servers read the beginning of a protocol before anything else. --first sends the
bytes in a file before each item, and waits until the server has read them.

--accept reads accepted findings from a file. Each line says what was sent, the check and
the program, and the reason. Braces contain alternatives, # begins a comment:

  {byte,newline} leak@mydaemon it keeps them until the login times out

A version range limits a line to some versions, as in leak@mydaemon<2.4, and is compared
with --program-version. A line fails the run if the finding does not occur, unless the
reason begins with "flaky:". The check unread accepts that an item has no verdict.
Lines about other programs, and about what did not run, are set aside. The other rules are
those of the files of scm interop (docs/testing-a-library.md).

--report writes a report. The extension of the file selects its format: .json, .xml
(JUnit) or .txt (what scm prints).

Exit status:
  0      no findings, except for accepted ones
  1      a finding that is not accepted, or an accepted one that did not occur
  2      wrong usage, or an unfinished reason
  4      scm could not find out, or not completely, for example because the server did not
         start, because it has not read an item, or because the kernel does not let scm
         look at its descriptors. Findings are still reported
  128+N  signal N ended the run`

// pokeOptions contains the flags of poke.
type pokeOptions struct {
	poke              programs.PokeOptions
	first, socketType string
	list, json        bool
	name, version     string
	accept, reports   []string

	accepted []expected.Line
}

// pokeReports are the formats of a report.
var pokeReports = report.Writers[*programs.Report]{
	".json": (*programs.Report).JSON,
	".xml":  (*programs.Report).JUnit,
	".txt":  (*programs.Report).Console,
}

// Main must be called first in main. In the process that keeps a server, it does not return.
func Main() { programs.Main() }

// Poke returns the poke command.
func Poke() *cobra.Command {
	var o pokeOptions
	cmd := &cobra.Command{
		Use:   "poke [flags] {--list | --socket PATH {--pid PID | -- SERVER [ARG]...}}",
		Short: "Send descriptors to a server that did not ask for them, and see which it keeps",
		Long:  pokeHelp,
		Example: `  scm poke --socket /tmp/s -- mydaemon --socket /tmp/s
  scm poke --socket /tmp/s --accept accepted.txt --report poke.xml -- ./mydaemon
  scm poke --socket /run/mydaemon.sock --pid $(pidof mydaemon)`,
		Args: o.validate,
		RunE: o.run,
	}
	o.flags(cmd)
	return cmd
}

func (o *pokeOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVar(&o.list, "list", false, "print the sockets of this machine, and connect to none")
	f.BoolVar(&o.json, "json", false, "print the list as JSON")
	f.StringVar(&o.poke.Address, "socket", "",
		"the `PATH` of the server's socket, a pattern for it, or @NAME; SERVER also gets it as $SOCK")
	f.IntVar(&o.poke.PID, "pid", 0, "poke the running process `PID` and its children, and leave out items that may end it")
	f.BoolVar(&o.poke.Dangerous, "dangerous", false, "with --pid, send all items")
	f.BoolVar(&o.poke.Activate, "activate", false, "create the socket, and pass it to SERVER as systemd does (LISTEN_FDS)")
	f.StringVar(&o.socketType, "type", "", "socket `TYPE`: stream, seqpacket or dgram (default: that of the server; with --activate, stream)")
	f.StringVar(&o.first, "first", "", "before each item, send the bytes in `FILE`")
	f.StringVar(&o.name, "name", "", "the `PROGRAM` in the report and in accepted findings (default: the base name of the server)")
	f.StringVar(&o.version, "program-version", "", "the `VERSION` of the server, for accepted findings with a version range")
	f.StringArrayVar(&o.accept, "accept", nil, "accept the findings in `FILE`; may be repeated")
	f.StringArrayVar(&o.reports, "report", nil, "write a report to `FILE`, creating its directory; may be repeated")
	f.DurationVar(&o.poke.Settle, "settle", 5*time.Second, "how long the server may take to close a descriptor, since the last one that it has closed")
	f.DurationVar(&o.poke.Timeout, "timeout", 10*time.Second, "how long the server may take to start and to accept a connection")
}

func (o *pokeOptions) validate(cmd *cobra.Command, args []string) error {
	switch {
	case o.list && (len(args) > 0 || o.poke.PID != 0 || o.poke.Address != ""):
		return errors.New("--list prints all sockets: use it without --socket, --pid and SERVER")
	case o.list:
		return nil
	case o.json:
		return errors.New("--json is for --list")
	case isNameless(o.poke.Address):
		return errors.New("poke needs the --socket of the server")
	case cmd.Flags().Changed("pid") && o.poke.PID <= 0:
		return fmt.Errorf("--pid %d: a process has a PID greater than 0", o.poke.PID)
	case len(args) > 0 && o.poke.PID != 0:
		return fmt.Errorf("unexpected argument %q: --pid takes one process, the parent of the others, and no SERVER", args[0])
	case len(args) == 0 && o.poke.PID == 0:
		return errors.New("poke needs either a SERVER or --pid PID")
	}
	return programs.CheckAddress(&o.poke.Address)
}

func (o *pokeOptions) run(cmd *cobra.Command, args []string) (err error) {
	if o.list {
		return programs.List(cmd.OutOrStdout(), o.json)
	}
	server := programs.ProgramOf(o.poke.PID)
	switch {
	case len(args) > 0:
		server = args[0]
	case server == "":
		return cli.Broken(fmt.Errorf("--pid %d: %w", o.poke.PID, unix.ESRCH))
	}
	if err := o.prepare(server); err != nil {
		return err
	}
	o.poke.Type, err = parseType(o.socketType)
	switch {
	case err != nil:
		return err
	case o.poke.Activate && o.poke.PID != 0:
		return errors.New("--activate starts a SERVER, and cannot be used with --pid")
	case o.poke.Activate && strings.Contains(o.poke.Address, "*"):
		return errors.New("--activate creates the socket, and cannot be used with a pattern")
	case o.poke.Dangerous && o.poke.PID == 0:
		return errors.New("--dangerous is for --pid; a SERVER always gets all items")
	}
	if o.first != "" {
		if o.poke.First, err = os.ReadFile(o.first); err != nil {
			return err
		}
	}
	o.poke.Progress = func(item string) { fmt.Fprintln(cmd.ErrOrStderr(), "sending", item) }
	o.poke.Args = args
	return o.test(cmd)
}

// isNameless reports whether a socket has no name that others could use.
func isNameless(socket string) bool { return socket == "" || socket == "@" }

// prepare checks the flags and reads the accepted findings. server is the default name of the program.
func (o *pokeOptions) prepare(server string) error {
	if o.name == "" {
		o.name = filepath.Base(server)
	}
	if !display.IsName(o.name) {
		return fmt.Errorf("%q is not a valid name for the program: use --name", o.name)
	}
	if o.poke.Settle <= 0 || o.poke.Timeout <= 0 {
		return errors.New("--settle and --timeout must be greater than 0")
	}
	if err := pokeReports.Validate(o.reports); err != nil {
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

// test pokes the server until a signal arrives, and reports what it finds.
func (o *pokeOptions) test(cmd *cobra.Command) error {
	return cli.UntilSignal(func(ctx context.Context) error {
		kernel := witness.ThisKernel()
		r := programs.NewReport(cli.Version(), o.name, o.version, kernel)
		trials, err := []programs.Trial(nil), procfs.Check()
		if err == nil {
			trials, err = programs.Poke(ctx, o.poke)
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
			if err := pokeReports.WriteFile(file, r); err != nil {
				return cli.WriteError(err)
			}
		}
		switch {
		case r.Broken != "" || r.Undecided():
			return cli.Exit(cli.ExitBroken, nil)
		case r.Failed():
			return cli.Exit(cli.ExitFail, nil)
		}
		return nil
	})
}
