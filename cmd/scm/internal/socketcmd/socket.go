//go:build unix

// Package socketcmd implements scm send and scm recv.
package socketcmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// networks contains the name of each type of socket in package net.
var networks = map[string]string{"stream": "unix", "dgram": "unixgram", "seqpacket": "unixpacket"}

// socketHelp is the paragraph for help texts about SOCKET fd:N.
const socketHelp = `SOCKET fd:N is the connected Unix socket that scm has inherited as descriptor N (./fd:N is
a path). --type defaults to its type. While scm uses it, the socket is non-blocking, also in
other processes that share it.`

// socketOptions contains the flags that send and recv share.
type socketOptions struct {
	socketType string
	network    string // the name of the type in package net
	format     string
	wait       bool // for the other side to connect
	timeout    time.Duration
	descriptor int  // the inherited descriptor that is the socket, or -1
	blocking   bool // that socket was blocking
}

// flags adds the flags that send and recv share.
func (o *socketOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.socketType, "type", "stream", "socket `TYPE`: stream, dgram or seqpacket")
	f.StringVar(&o.format, "format", "", "use the message format `NAME`")
	f.DurationVar(&o.timeout, "timeout", 0, "give up after this time (default: wait without limit)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(strings.Split(formatNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(slices.Sorted(maps.Keys(networks)), cobra.ShellCompDirectiveNoFileComp))
}

// formatNames returns the names of all formats, separated by commas.
func formatNames() string {
	var names []string
	for _, f := range wire.Formats() {
		names = append(names, f.Name())
	}
	return strings.Join(names, ", ")
}

// formatHelp returns a sentence for help texts that lists the formats, in lines of at most 88 columns.
func formatHelp() string {
	text, line := "", "With --format, send and recv use the message format of another program: one of"
	names := strings.Split(formatNames(), ", ")
	for i, name := range names {
		word := name + ","
		if i == len(names)-1 {
			word = "or " + name + "."
		}
		if len(line)+1+len(word) > 88 {
			text, line = text+line+"\n", word
		} else {
			line += " " + word
		}
	}
	return text + line
}

// namesFile reports whether the payload of a format is the name of the file.
func namesFile(format string) bool { return format == wire.Runc.Name() || format == wire.Conmon.Name() }

// findDescriptor sets the descriptor and the network if SOCKET is fd:N.
func (o *socketOptions) findDescriptor(cmd *cobra.Command, addr string) error {
	o.descriptor = -1
	text, ok := strings.CutPrefix(addr, "fd:")
	if !ok {
		return nil
	}
	fd, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("SOCKET %q is not fd:N (for a path, write ./%s)", addr, addr)
	}
	for _, flag := range []string{"listen", "connect"} {
		if cmd.Flags().Changed(flag) {
			return fmt.Errorf("--%s cannot be used with SOCKET %s", flag, addr)
		}
	}
	o.descriptor = int(fd)
	if err := o.askDescriptor(o.format != "" || cmd.Flags().Changed("type")); err != nil {
		return cli.Exit(cli.ExitFail, err)
	}
	return nil
}

// askDescriptor checks that the descriptor is a connected Unix socket, and sets the network. If typed is set, the
// flags determine the network.
func (o *socketOptions) askDescriptor(typed bool) error {
	if err := checkInherited(o.descriptor); err != nil {
		return err
	}
	network, err := sys.Network(o.descriptor)
	if err != nil {
		return fmt.Errorf("descriptor %d: %w", o.descriptor, err)
	}
	if typed && network != o.network {
		return fmt.Errorf("descriptor %d is a %s socket, not %s", o.descriptor, typeOf(network), typeOf(o.network))
	}
	if listening, err := sys.Listening(o.descriptor); err == nil && listening {
		return fmt.Errorf("descriptor %d is a listening socket, not a connected one", o.descriptor)
	}
	nonblock, err := sys.Nonblock(o.descriptor)
	o.network, o.blocking = network, !nonblock
	return err
}

// typeOf returns the name of a network of package net as a type of socket.
func typeOf(network string) string {
	for name, n := range networks {
		if n == network {
			return name
		}
	}
	return network
}

// validate checks the flags and SOCKET, and sets the network. It returns the format, or nil if --format is not set. A
// format determines its network.
func (o *socketOptions) validate(cmd *cobra.Command, addr string) (wire.Format, error) {
	format, known := wire.Lookup(o.format)
	o.network = networks[o.socketType]
	switch {
	case addr == "" || addr == "@": // the kernel would choose a name that the other side cannot know
		return nil, fmt.Errorf("SOCKET %q has no name", addr)
	case o.network == "":
		return nil, fmt.Errorf("unknown --type %q: use stream, dgram or seqpacket", o.socketType)
	case o.timeout < 0:
		return nil, errors.New("--timeout must not be negative")
	case o.format != "" && !known:
		return nil, fmt.Errorf("unknown --format %q: use %s", o.format, formatNames())
	case known && cmd.Flags().Changed("type") && o.network != format.Network():
		return nil, fmt.Errorf("--type %s cannot be used with --format %s", o.socketType, o.format)
	case known:
		o.network = format.Network()
	}
	return format, o.findDescriptor(cmd, addr)
}

// cleanupTime is the time to remove a socket file after a signal or --timeout.
const cleanupTime = time.Second

// withTimeout calls f with a context that a signal or --timeout cancels. Operations on sockets then
// fail. If f still does not return within cleanupTime, withTimeout returns without waiting for f.
// This happens if f is blocked in another operation, such as opening a FIFO that no other process
// has open. At the end, withTimeout makes an inherited socket blocking again if it was.
func (o *socketOptions) withTimeout(f func(ctx context.Context) error) error {
	defer func() {
		if o.descriptor >= 0 && o.blocking {
			_ = sys.SetNonblock(o.descriptor, false)
		}
	}()
	return cli.UntilSignal(func(ctx context.Context) error {
		if o.timeout > 0 {
			limited, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("timed out after %s", o.timeout))
			defer cancel()
			ctx = limited
		}
		done := make(chan error, 2)
		go func() { done <- f(ctx) }()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(cleanupTime, func() { done <- ctx.Err() }) })()
		err := <-done
		cause := context.Cause(ctx)
		switch {
		case err == nil:
			return nil
		case cause != nil && isAbsent(err):
			err = fmt.Errorf("%w: %w", cause, err)
		case cause != nil:
			err = cause
		}
		return cli.Exit(cli.ExitFail, err)
	})
}

// connectTo returns a connection to the other process, or a socket that receives datagrams. Closing
// the datagram socket removes its socket file. A listener's socket file is removed as soon as the
// other process has connected. An inherited socket stays open when the connection is closed.
func (o *socketOptions) connectTo(ctx context.Context, addr string) (*scm.Conn, error) {
	switch {
	case o.descriptor >= 0:
		fd, err := sys.Dup(o.descriptor, 0)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		return scm.NewConnFD(fd)
	case !o.wait:
		return o.dial(ctx, addr)
	case o.network == "unixgram":
		return scm.ListenPacket(ctx, o.network, addr)
	}
	l, err := scm.Listen(ctx, o.network, addr)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	return l.AcceptConn()
}

// dial connects to the socket. With --timeout, it retries until a process listens on the socket.
func (o *socketOptions) dial(ctx context.Context, addr string) (c *scm.Conn, err error) {
	for {
		last := err
		c, err = scm.Dial(ctx, o.network, addr)
		if last != nil && os.IsTimeout(err) { // the dialer times out a moment before ctx does
			<-ctx.Done()
			return nil, last
		}
		if o.timeout == 0 && isAbsent(err) {
			return nil, fmt.Errorf("%w: %s", err, whyAbsent(addr))
		}
		if !isAbsent(err) || ctx.Err() != nil {
			return c, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// whyAbsent explains why a connection to the address was refused.
func whyAbsent(addr string) string {
	if info, err := os.Stat(addr); err == nil && info.Mode()&os.ModeSocket == 0 {
		return "it exists and is not a socket"
	}
	return "no process listens there (use --timeout to wait for one)"
}

// isAbsent reports whether err means that no process listens at the address.
func isAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// openFiles opens files, and returns their descriptors followed by the inherited ones. The new descriptors
// are blocking and close-on-exec. They stay open until scm ends.
func openFiles(paths []string, inherited []int, flags int) (fds []int, err error) {
	for _, fd := range inherited { // first, because opening a file could create that descriptor
		if err := checkInherited(fd); err != nil {
			return nil, err
		}
	}
	for _, path := range paths {
		// os.Open would make pipes and terminals non-blocking, also for the receiver.
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0o666)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		fds = append(fds, fd)
	}
	return append(fds, inherited...), nil
}

// checkInherited returns an error unless scm has inherited the descriptor. Inherited descriptors are never
// close-on-exec, but those of the Go runtime always are.
func checkInherited(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return fmt.Errorf("descriptor %d was not inherited", fd)
	}
	return nil
}
