//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// networks are the types of socket, as package net names them.
var networks = map[string]string{"stream": "unix", "dgram": "unixgram", "seqpacket": "unixpacket"}

// A meeting is how send and recv find each other.
type meeting struct {
	kind    string // of socket
	format  string
	wait    bool // for the other side to connect
	timeout time.Duration
}

func (m *meeting) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.kind, "type", "stream", "`TYPE` of the socket: stream, dgram or seqpacket")
	f.StringVar(&m.format, "format", "", "what the program `NAME` sends and receives: "+strings.Join(formatNames(), ", "))
	f.DurationVar(&m.timeout, "timeout", 0, "end after so long; who connects waits that long for the socket to be there, too (without it: for ever, and not at all)")
}

func formatNames() (names []string) {
	for _, f := range wire.Formats() {
		names = append(names, f.Name())
	}
	return names
}

// check finds the format, if one is asked for, and makes the type of socket its.
func (m *meeting) check(cmd *cobra.Command, addr string) (wire.Format, error) {
	if addr == "" || addr == "@" { // the kernel would choose a name that nobody learns
		return nil, fmt.Errorf("SOCKET is %q: it needs a name", addr)
	}
	if networks[m.kind] == "" {
		return nil, fmt.Errorf("no such type of socket: %q", m.kind)
	}
	if m.timeout < 0 {
		return nil, errors.New("--timeout must not be less than 0")
	}
	if m.format == "" {
		return nil, nil
	}
	format, ok := wire.Lookup(m.format)
	if !ok {
		return nil, fmt.Errorf("no such format: %q; formats are %s", m.format, strings.Join(formatNames(), " "))
	}
	for kind, network := range networks {
		if network != format.Network() {
			continue
		}
		if cmd.Flags().Changed("type") && m.kind != kind {
			return nil, fmt.Errorf("the format %s needs --type %s", m.format, kind)
		}
		m.kind = kind
	}
	return format, nil
}

// context ends with a signal, and when the time is over.
func (m *meeting) context() (context.Context, func()) {
	ctx, stop := untilSignal(false)
	if m.timeout == 0 {
		return ctx, stop
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("timed out after %s", m.timeout))
	return ctx, func() { cancel(); stop() }
}

// meet is the connection, or for one who receives datagrams the socket. Its socket
// file, if it has one, is removed by Close, and before where nobody else is let in.
func (m *meeting) meet(ctx context.Context, addr string) (*scm.Conn, error) {
	network := networks[m.kind]
	switch {
	case !m.wait:
		return m.dial(ctx, network, addr)
	case m.kind == "dgram":
		return scm.ListenPacket(ctx, network, addr)
	}
	l, err := scm.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	return l.AcceptConn()
}

// retry is how often the one who connects looks whether the socket is there.
const retry = 10 * time.Millisecond

func (m *meeting) dial(ctx context.Context, network, addr string) (*scm.Conn, error) {
	var last error
	for {
		c, err := scm.Dial(ctx, network, addr)
		switch {
		case absent(err) && m.timeout > 0:
			last = err
		case err != nil && last != nil && ctx.Err() != nil:
			return nil, last
		default:
			return c, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// absent reports whether err means that no socket listens at the address.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// withSocket calls f with the number of the Conn's socket, which blocks meanwhile:
// nobody else has it. When ctx is done, what waits ends.
func withSocket(ctx context.Context, c *scm.Conn, f func(sock int) error) error {
	if err := scm.SetNonblock(c, false); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		defer context.AfterFunc(ctx, func() { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })()
		failed = f(int(fd))
	})
	return errors.Join(err, failed)
}

// cleanUp is how long what removes a socket file has for it when the time is over.
const cleanUp = time.Second

// during runs f, which may wait for somebody else: for one who opens the other end of a
// FIFO, serves a file system, or reads from a TCP connection that lingers. When ctx is
// done f has so long to end; then it is left to wait, until scm ends.
func during(ctx context.Context, patience time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return context.Cause(ctx)
	}
}

// failure is the error to end with: the signal's, or that the time is over, if that
// was the cause.
func failure(ctx context.Context, err error) error {
	if cut := interrupted(ctx); cut != nil {
		return cut
	}
	if cause := context.Cause(ctx); cause != nil && absent(err) {
		err = fmt.Errorf("%w: %w", cause, err)
	} else if cause != nil {
		err = cause
	}
	return &exitError{exitFail, err}
}

// openFiles opens files, and takes numbers that were inherited. What is opened is
// close-on-exec, blocks, and is the caller's to close.
func openFiles(paths []string, inherited []int, flags int) (fds []int, err error) {
	for _, fd := range inherited { // before the files, which could get its number
		// The runtime's own are close-on-exec; an inherited one cannot be.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, fmt.Errorf("descriptor %d was not inherited", fd)
		}
	}
	for _, path := range paths {
		// Not by os.Open, which makes pipes and terminals non-blocking, for the
		// receiver too.
		fd, err := again(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0o666) })
		if err != nil {
			closeAll(fds)
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		fds = append(fds, fd)
	}
	return append(fds, inherited...), nil
}

// again calls what a signal may interrupt.
func again[T any](call func() (T, error)) (T, error) {
	for {
		result, err := call()
		if err != unix.EINTR {
			return result, err
		}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
