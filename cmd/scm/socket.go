//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func socketCommands() []*cobra.Command { return []*cobra.Command{sendCommand(), recvCommand()} }

// networks are the types of socket, as package net names them.
var networks = map[string]string{"stream": "unix", "dgram": "unixgram", "seqpacket": "unixpacket"}

// A meeting is how send and recv find each other.
type meeting struct {
	kind    string // of socket
	network string // the same, as package net names it
	format  string
	wait    bool // for the other side to connect
	timeout time.Duration
}

func (m *meeting) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.kind, "type", "stream", "`TYPE` of the socket: stream, dgram or seqpacket")
	f.StringVar(&m.format, "format", "", "what the program `NAME` sends and receives: "+formatNames())
	f.DurationVar(&m.timeout, "timeout", 0, "end after so long; who connects waits that long for the socket to be there, too "+
		"(without it: for ever, and not at all)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(strings.Split(formatNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(slices.Sorted(maps.Keys(networks)), cobra.ShellCompDirectiveNoFileComp))
}

func formatNames() string {
	var names []string
	for _, f := range wire.Formats() {
		names = append(names, f.Name())
	}
	return strings.Join(names, ", ")
}

// check finds the network, and the format if one is asked for, which has a network of its own.
func (m *meeting) check(cmd *cobra.Command, addr string) (wire.Format, error) {
	format, known := wire.Lookup(m.format)
	m.network = networks[m.kind]
	switch {
	case addr == "" || addr == "@": // the kernel would choose a name that nobody learns
		return nil, fmt.Errorf("SOCKET is %q: it needs a name", addr)
	case m.network == "":
		return nil, fmt.Errorf("no such type of socket: %q", m.kind)
	case m.timeout < 0:
		return nil, errors.New("--timeout must not be less than 0")
	case m.format == "":
		return nil, nil
	case !known:
		return nil, fmt.Errorf("no such format: %q; formats are %s", m.format, formatNames())
	case cmd.Flags().Changed("type") && m.network != format.Network():
		return nil, fmt.Errorf("the format %s has a type of its own: no --type %s", m.format, m.kind)
	}
	m.network = format.Network()
	return format, nil
}

// cleanUp is how long what removes a socket file has for it when the time is over.
const cleanUp = time.Second

// within runs f until it ends, or a signal or --timeout ends what it waits for: on its context the
// sockets, and a moment later all else, such as a FIFO that nobody opens, by the end of scm.
func (m *meeting) within(f func(ctx context.Context) error) error {
	return untilSignal(func(ctx context.Context) error {
		if m.timeout > 0 {
			limited, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("timed out after %s", m.timeout))
			defer cancel()
			ctx = limited
		}
		done, late := make(chan error, 1), make(chan error, 1)
		go func() { done <- f(ctx) }()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(cleanUp, func() { late <- ctx.Err() }) })()
		var err error
		select {
		case err = <-done:
		case err = <-late:
		}
		cause := context.Cause(ctx)
		switch {
		case err == nil:
			return nil
		case cause != nil && absent(err):
			err = fmt.Errorf("%w: %w", cause, err)
		case cause != nil:
			err = cause
		}
		return &exitError{exitFail, err}
	})
}

// meet is the connection, or for one who receives datagrams the socket. Its socket
// file, if it has one, is removed by Close, and before where nobody else is let in.
func (m *meeting) meet(ctx context.Context, addr string) (*scm.Conn, error) {
	switch {
	case !m.wait:
		return m.dial(ctx, addr)
	case m.network == "unixgram":
		return scm.ListenPacket(ctx, m.network, addr)
	}
	l, err := scm.Listen(ctx, m.network, addr)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	return l.AcceptConn()
}

// dial connects, and with --timeout it tries until the socket is there.
func (m *meeting) dial(ctx context.Context, addr string) (c *scm.Conn, err error) {
	for {
		last := err
		c, err = scm.Dial(ctx, m.network, addr)
		if last != nil && os.IsTimeout(err) { // the time of the dialer is over a moment before that of ctx
			<-ctx.Done()
			return nil, last
		}
		if m.timeout == 0 && absent(err) {
			return nil, fmt.Errorf("%w: %s", err, whyAbsent(addr))
		}
		if !absent(err) || ctx.Err() != nil {
			return c, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// whyAbsent says what there is in the place of a socket that listens.
func whyAbsent(addr string) string {
	if info, err := os.Stat(addr); err == nil && info.Mode()&os.ModeSocket == 0 {
		return "it exists and is not a socket"
	}
	return "no one listens there (--timeout waits)"
}

// absent reports whether err means that no socket listens at the address.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// openFiles opens files, and takes numbers that were inherited. What is opened is close-on-exec and
// blocks. Nothing closes it but the end of scm.
func openFiles(paths []string, inherited []int, flags int) (fds []int, err error) {
	for _, fd := range inherited { // before the files, which could get its number
		// The runtime's own are close-on-exec; an inherited one cannot be.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, fmt.Errorf("descriptor %d was not inherited", fd)
		}
	}
	for _, path := range paths {
		// Not by os.Open, which makes pipes and terminals non-blocking, for the receiver too.
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0o666)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		fds = append(fds, fd)
	}
	return append(fds, inherited...), nil
}
