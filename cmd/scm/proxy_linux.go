package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/programs"
	"github.com/scm-rights/scm/cmd/scm/internal/relay"
	"github.com/scm-rights/scm/interop/report"
	"github.com/spf13/cobra"
)

// proxyFaults is the paragraph for help texts about the faults.
const proxyFaults = `A fault changes what clients send to the server:

  none       nothing is changed
  extra      one more descriptor with each message that has some
  extra-all  one more descriptor with each message
  many       253 descriptors with the first message and each that has some
  opath      a descriptor opened with O_PATH instead of each descriptor`

// proxyOptions contains the flags of proxy.
type proxyOptions struct {
	listen, connect string
	fault           string
	saveFirst       string
	socketType      string
}

func proxyCommand() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy --listen SOCKET --connect SOCKET",
		Short: "Pass messages between the clients of a server and the server, and inject faults",
		Long: `Listen on a Unix socket, connect each client to the socket of a server, and pass messages
on in both directions. Stream and seqpacket sockets are supported. A socket is a path, or
an abstract name that starts with @.

If the server has bound its socket to a relative path, or in another network namespace,
scm connects to it once, to find out the type of the socket. Set --type if the server
serves only one connection.

Without --fault, nothing about the messages is changed: each descriptor arrives with the
byte with which it was sent. To the server, the process ID of each client is that of scm.
If scm runs as root, it connects as the user of the client, and passes on credentials
(SCM_CREDENTIALS). Otherwise, the server sees the user of scm. To the client, the server
has the user and the process ID of scm. Out-of-band data is not passed on. If one side
resets the connection, the other side receives an end. If one side shuts down only its
input, what the other side sends next is lost, and only then does sending fail. The server
does not see the name to which a client has bound its socket. Each seqpacket client that
sends has a name there, which the kernel has chosen.

If one side accepts no descriptors (SO_PASSRIGHTS, Linux 6.16), sending them does not fail
on the other side. Instead, scm closes the connection.

If the descriptor table of scm is full, scm closes the connection, because it cannot pass
on all descriptors of a message. What the other side has sent can be lost too.

` + proxyFaults + `

--save-first writes the bytes that a client sends before its first descriptor, for
"scm poke --first". It is the first client that sends a descriptor or, if none does until
scm ends, the first client.

Exit status:
  2      wrong usage
  4      no process listens on the socket of --connect, or another problem
  128+N  signal N ended scm`,
		Example: `  scm proxy --listen /tmp/proxy --connect /run/mydaemon.sock
  scm proxy --listen /tmp/proxy --connect /run/mydaemon.sock --fault extra
  scm proxy --listen /tmp/proxy --connect /run/mydaemon.sock --save-first hello`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return commandArg(cmd, args)
			case isNameless(o.listen):
				return errors.New("proxy needs the socket to --listen on")
			case isNameless(o.connect):
				return errors.New("proxy needs the socket of a server to --connect to")
			case !slices.Contains(programs.Faults, o.fault):
				return fmt.Errorf("unknown --fault %q: use %s", o.fault, strings.Join(programs.Faults, ", "))
			}
			return programs.CheckAddress(&o.connect)
		},
		RunE: func(*cobra.Command, []string) error { return untilSignal(o.run) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "", "create this `SOCKET` for the clients")
	f.StringVar(&o.connect, "connect", "", "connect to this `SOCKET` of the server")
	f.StringVar(&o.socketType, "type", "", "`TYPE` of the server's socket: stream or seqpacket (default: found out)")
	f.StringVar(&o.fault, "fault", programs.FaultNone, "inject the fault `NAME`")
	f.StringVar(&o.saveFirst, "save-first", "", "write the bytes before the first descriptor of a client to `FILE`")
	cmd.AddCommand(proxyTestCommand())
	return cmd
}

// isNameless reports whether a socket has no name that others could use.
func isNameless(socket string) bool { return socket == "" || socket == "@" }

func (o *proxyOptions) run(ctx context.Context) error {
	kind, err := parseType(o.socketType)
	if err != nil {
		return err
	}
	if kind == 0 {
		if kind, err = programs.SocketType(o.connect); err != nil {
			return broken(err)
		}
	}
	network, err := programs.Network(o.connect, kind)
	if err != nil {
		return broken(err)
	}
	config := scm.Config{}
	if os.Geteuid() == 0 && !strings.HasPrefix(o.listen, "@") {
		config.Mode = 0o777 // the kernel decides whether the user of the client may connect to the server
	}
	l, err := config.Listen(ctx, network, o.listen)
	if err != nil {
		return broken(err)
	}
	defer l.Close()
	fault, err := programs.NewFault(o.fault)
	if err != nil {
		return broken(err)
	}
	defer fault.Close()
	saver := firstSaver{file: o.saveFirst, sent: map[int][]byte{}}
	r := relay.Relay{Type: kind, Connect: o.connect, Failed: printError, ToServer: func(m *relay.Message) {
		saver.message(m)
		fault.ToServer(m)
	}}
	err = r.Serve(ctx, l.UnixListener)
	saver.end()
	if err != nil {
		return broken(err)
	}
	return nil
}

// A firstSaver saves what a client sends before its first descriptor.
type firstSaver struct {
	mu   sync.Mutex
	file string         // or "" to save nothing, or nothing more
	sent map[int][]byte // by the clients, without descriptors
}

// message is called with each message of a client.
func (s *firstSaver) message(m *relay.Message) {
	const most = 1 << 20
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.file == "":
	case len(m.FDs) > 0:
		s.save(s.sent[m.Client])
	case len(s.sent[m.Client]) < most:
		s.sent[m.Client] = append(s.sent[m.Client], m.Data...)
	}
}

// end saves the bytes of the first client, if no client has sent a descriptor.
func (s *firstSaver) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) > 0 {
		s.save(s.sent[slices.Min(slices.Collect(maps.Keys(s.sent)))])
	}
}

func (s *firstSaver) save(text []byte) {
	if err := report.ReplaceFile(s.file, text); err != nil {
		printError(err)
	}
	s.file, s.sent = "", nil
}

func proxyTestCommand() *cobra.Command {
	var o programs.ProxyOptions
	var p programOptions
	cmd := &cobra.Command{
		Use:   "test --socket PATH --server COMMAND --client COMMAND",
		Short: "Test a server with a client of it, by injecting faults between them",
		Long: `For each fault, start the server, run the client without the proxy and then through it,
close all connections, and ask the kernel whether the server or one of its children still
has a descriptor that was injected. Then run the client without the proxy again.

Both commands are for /bin/sh, and use $SOCK as the path of the socket. For the client,
that is the socket of the proxy when it runs through it. The server must not listen when
scm starts. The client must exit with status 0, and should pass descriptors.

` + proxyFaults + `

scm reports extra descriptors that the server keeps (leak), if the server ends (crash),
and if it runs but no longer serves the client (refuses). The server may reject a message,
so the failure of a client behind the proxy is no finding. A descriptor that was opened
with O_PATH and is still open is not one either, because the server may store what the
client passes. scm prints a note about both. If the client fails with the fault none, or
without the proxy, nothing is found out, and the exit status is 4. A fault has no verdict
if the client sends nothing with which it could be injected, or if it adds descriptors and
the server ends without a failure, because what it would have kept cannot be seen.

A server that closes a descriptor late keeps none. scm waits until the server has closed
all of them, or has closed none for --settle, and does so again after the last run of the
client.

` + acceptHelp + `

` + programsExit,
		Example: `  scm proxy test --socket /tmp/s --server './serve $SOCK' --client ./ask
  scm proxy test --socket /tmp/s --server ./serve --client ./ask --report p.xml`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return fmt.Errorf("unexpected argument %q: use --server and --client", args[0])
			case isNameless(o.Address):
				return errors.New("proxy test needs the --socket of the server")
			case o.Server == "" || o.Client == "":
				return errors.New("proxy test needs the commands --server and --client")
			case o.ClientTimeout <= 0:
				return errors.New("--client-timeout must be greater than 0")
			}
			return programs.CheckAddress(&o.Address)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.prepare(serverName(o.Server)); err != nil {
				return err
			}
			o.Settle, o.Timeout = p.settle, p.timeout
			return p.test(cmd, func(ctx context.Context) ([]programs.Trial, error) { return programs.ProxyTest(ctx, o) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Address, "socket", "", "the `PATH` of the server's socket, or @NAME; the commands get it as $SOCK")
	f.StringVar(&o.Server, "server", "", "start the server with this shell `COMMAND`")
	f.StringVar(&o.Client, "client", "", "run a client with this shell `COMMAND`")
	f.StringVar(&o.Listen, "listen", "", "create the proxy's socket at this `PATH` (default: in a new directory)")
	f.DurationVar(&o.ClientTimeout, "client-timeout", 30*time.Second, "how long the client may take")
	p.flags(cmd)
	return cmd
}

// serverName returns the first word of a shell command that names a program.
func serverName(command string) string {
	for _, word := range strings.Fields(command) {
		if word != "exec" && word != "env" && !strings.Contains(word, "=") {
			return word
		}
	}
	return command
}
