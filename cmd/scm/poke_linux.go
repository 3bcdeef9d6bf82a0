package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/scm-rights/scm/cmd/scm/internal/programs"
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
descriptors that nobody asked for, close the connection, and ask the kernel whether the
server still has these descriptors. Neither a client nor its protocol is needed.

The items, each on connections of its own:

` + programs.ItemsHelp() + `
scm reports what the server and its children keep (leak), if the server ends (crash),
and if it runs but no longer accepts connections, or no longer reads datagrams (refuses).
The server is stopped at the end, and started again after a crash. If it ends in the same
way after the same bytes without a descriptor, that is no finding. A server that exits
with status 0 after a connection is started again for the next one.

An item that the server does not read has no verdict, and the exit status is 4. All waits
for the server to read take at most one and a half times --timeout together.

A server that closes a descriptor late keeps none. scm waits until the server has closed
all of them, or has closed none for --settle. Use more if a garbage collector closes
them. A server that stores every descriptor on purpose is reported, and the finding can
be accepted. To see whether it stores only a limited number, such as the last eight, scm
sends the items whose descriptors it keeps as often again. If it then keeps no more, and
its descriptor table has space, that is a note, and no finding. scm does not find
descriptors that the server has passed on to other processes, or sent to one of its own
sockets.

If the path of the socket contains the PID of the server, use a pattern with a * instead.
Zero bytes at the end of an abstract name are written as @, as in /proc/net/unix, or \0.

Warning: scm poke can end the server, or make it run out of descriptors. With --pid, it
therefore leaves out the items 253 and path, and sends each message once, or twice if the
server keeps its descriptors, unless --dangerous is set. It then cannot find out whether
the bytes alone end the server. With --pid, scm must run as the same user and group as the
server, or as root.

--list connects to nothing. It prints the sockets on which processes listen, and bound
datagram sockets, in this network namespace: a process, the type, which users may connect
at most (any, group:NAME, user:NAME, or unknown if there is no such path), the executable
and the address. Run it as root to see the processes of all users. With --json, it also
prints further processes that have the socket open.

Many servers read the beginning of a protocol before anything else. --first sends the
bytes in a file before each item, and waits until the server has read them. For a stream
of which you have a client, "scm proxy --save-first" writes such a file.

` + acceptHelp + `

` + programsExit

// pokeOptions contains the flags of poke.
type pokeOptions struct {
	programOptions
	poke              programs.PokeOptions
	first, socketType string
	list, json        bool
}

func pokeCommand() *cobra.Command {
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
	f.IntVar(&o.poke.PID, "pid", 0, "poke the running process `PID` and its children, and leave out what may end it")
	f.BoolVar(&o.poke.Dangerous, "dangerous", false, "with --pid, send all items")
	f.BoolVar(&o.poke.Activate, "activate", false, "create the socket, and pass it to SERVER as systemd does (LISTEN_FDS)")
	f.StringVar(&o.socketType, "type", "", "socket `TYPE`: stream, seqpacket or dgram (default: that of the server; with --activate, stream)")
	f.StringVar(&o.first, "first", "", "before each item, send the bytes in `FILE`")
	o.programOptions.flags(cmd)
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
		return broken(fmt.Errorf("--pid %d: %w", o.poke.PID, unix.ESRCH))
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
	o.poke.Args, o.poke.Settle, o.poke.Timeout = args, o.settle, o.timeout
	return o.test(cmd, func(ctx context.Context) ([]programs.Trial, error) { return programs.Poke(ctx, o.poke) })
}
