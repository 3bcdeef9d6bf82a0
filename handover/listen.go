package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// Listen returns a listening socket received from the predecessor or the service manager, or creates one.
// Successors receive the socket in turn. The caller must close the listener. Call Listen before Ready, so
// that every successor receives all sockets.
//
// Listen first looks for a received socket with the given name and address, then for one with the same address and
// another name. The address is the same if the predecessor called Listen with the same strings, or if a new socket
// would have the address of the received one. Paths are the same if they lead to the same name in the same directory.
// Port 0 matches any port of a socket with the given name. An unspecified IP address matches only if the network is the
// same too. Listen compares all strings before it resolves a name. If no socket matches, Listen creates one, with
// Config.Listen if it is set. If that fails because a received socket uses the port, the error names that socket.
//
// The service manager may have sockets for IPv4 and for IPv6. A network that ends in 4 takes only one that accepts
// IPv4, and a network that ends in 6 only one that accepts IPv6. Listen prefers one that accepts exactly what a new
// socket would. So "tcp" takes one that accepts both or, if there is none, the first, even for the address 0.0.0.0:80,
// which means the same as :80 to package net. Call File for a socket of the service manager that package net cannot
// open. If it has the given name, the error of Listen tells you to.
//
// In every process, the listener is a [*net.TCPListener] or, for a Unix socket, a [*scm.Listener] with Config.Unix. A
// socket cannot carry anything else to a successor, so each process wraps the result of Listen itself: for TLS, the
// PROXY protocol, a limit on connections or keep-alive options. To use other options for one Unix socket, call
// [scm.Config.NewListener], which replaces Config.Unix as a whole. A wrapper must not accept before Ready has
// returned. A new version that changes the mode, the backlog or an option of a socket does not change the socket that
// it receives.
//
// Listen makes the relative path of a Unix socket absolute, but does not clean it. Closing the listener removes the
// socket's file, except in these cases:
//
//   - Neither Listen nor an earlier process's Listen created it.
//   - A successor or the service manager has the socket.
//   - The socket was received, and Ready has not returned nil.
//   - Another file has replaced the socket's.
//   - This process has called SetUnlinkOnClose(false).
//
// The name must consist of 1 to 255 printable ASCII characters other than a colon. Otherwise, the error wraps
// [os.ErrInvalid]. If this process already uses a socket or file with this name, the error wraps
// [os.ErrExist].
func (p *Process) Listen(ctx context.Context, name, network, address string) (net.Listener, error) {
	made, err := p.obtain(ctx, socket{Name: name, Network: network, Address: []byte(address), Created: true}, false)
	l, _ := made.(net.Listener)
	return l, err
}

// ListenPacket is like [Process.Listen], but for packets. It does not use Config.Listen. Until the
// predecessor closes its descriptor, either process can receive a packet, and each packet is delivered to
// only one of them. For a Unix socket, the result is a [*scm.Conn] with Config.Unix.
func (p *Process) ListenPacket(ctx context.Context, name, network, address string) (net.PacketConn, error) {
	made, err := p.obtain(ctx, socket{Name: name, Network: network, Address: []byte(address), Created: true}, true)
	c, _ := made.(net.PacketConn)
	return c, err
}

// obtain implements Listen and, if packets is true, ListenPacket.
func (p *Process) obtain(ctx context.Context, want socket, packets bool) (made netSocket, err error) {
	defer prefix(&err)
	if isUnix(want.Network) {
		path, err := absolute(string(want.Address), true)
		if err != nil {
			return nil, err
		}
		want.Address = []byte(path)
	}
	p.mu.Lock()
	received := slices.Clone(p.succession.inherited)
	err = p.isFree(want.Name)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	received = slices.DeleteFunc(received, func(in *inherited) bool { return in.fit(want.Network) == 0 })
	slices.SortStableFunc(received, func(a, b *inherited) int { return b.fit(want.Network) - a.fit(want.Network) })
	made, have, err := p.find(received, want, netip.AddrPort{}, packets)
	if made == nil && err == nil && len(received) > 0 && !isUnix(want.Network) {
		made, have, err = p.find(received, want, want.resolve(ctx), packets)
	}
	found := made != nil
	switch {
	case err != nil:
		return nil, err
	case !found:
		if made, have, err = p.create(ctx, want, packets); err != nil {
			return nil, p.explain(want, err)
		}
	}
	o := newOffered(have, made)
	if found { // until Ready, the predecessor needs the file, and its clients may send files
		o.unlink(false)
		o.noFiles = p.config.Unix.NoFiles && isUnix(have.Network)
	}
	if err := p.offer(o); err != nil {
		_ = made.Close()
		return nil, err
	}
	return made, nil
}

// isFree returns an error if the name cannot be used for a socket or file. p.mu must be held.
func (p *Process) isFree(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if p.isClosed() {
		return errClosed
	}
	for _, s := range p.server.offered {
		if s.Name == name && !s.isClosed() {
			return fmt.Errorf("the name %q is in use: %w", name, os.ErrExist)
		}
	}
	return nil
}

// offer makes a socket or file available to successors.
func (p *Process) offer(o offered) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.isFree(o.Name); err != nil {
		return err
	}
	p.server.offered = slices.DeleteFunc(p.server.offered, func(old offered) bool { return old.Name == o.Name })
	p.server.offered = append(p.server.offered, o)
	return nil
}

// find opens a received socket with the wanted address, which resolves to at, and removes it from those received. If at
// is zero, find compares only strings. If no socket matches, made is nil. p.mu must not be held while find examines
// paths, whose file systems may not respond.
func (p *Process) find(received []*inherited, want socket, at netip.AddrPort, packets bool) (made netSocket, have socket, err error) {
	_, port, err := net.SplitHostPort(string(want.Address))
	anyPort := err == nil && !isUnix(want.Network) && strings.Trim(port, "0") == ""
	for _, named := range []bool{true, false} {
		if !named && anyPort { // any port, but not that of another socket
			break
		}
		for _, in := range received {
			if (in.Name == want.Name) != named || in.isFile() {
				continue
			}
			if bound, _ := in.bound(); !in.isAt(bound, want, at) { // explain says why bound is not known
				continue
			}
			have = want
			have.Created, have.FileID = in.Created, in.FileID
			if err := p.checkMode(have, packets); err != nil {
				return nil, have, err
			}
			made, err := open(in.file, have, packets, p.config.Unix, true)
			if errors.Is(err, errOtherKind) {
				continue
			}
			if err != nil {
				return nil, have, err
			}
			p.mu.Lock()
			taken := p.succession.take(func(other *inherited) bool { return other.file == in.file }) != nil
			if taken && !named {
				p.succession.unused = append(p.succession.unused, in.Name)
			}
			p.mu.Unlock()
			if taken {
				if path := string(want.Address); in.isLost(path) {
					p.logger.Warn("handover: clients cannot reach a received socket, because its path, as seen from this process, does not lead to it", "name", want.Name, "path", path)
				}
				_ = in.file.Close() // made has a duplicate
				return made, have, nil
			}
			newOffered(have, made).unlink(false) // another call has used or closed it
			_ = made.Close()
		}
	}
	return nil, have, nil
}

// checkMode returns an error if Config.Unix.Mode cannot apply to a socket that this process creates, or an earlier one
// has created. Otherwise, an upgrade would succeed, and the next first process would fail.
func (p *Process) checkMode(have socket, packets bool) error {
	mode := p.config.Unix.Mode
	switch {
	case mode == 0 || !have.Created || !isUnix(have.Network):
		return nil
	case !packets && p.config.Listen != nil:
		return fmt.Errorf("Config.Unix.Mode has no effect on a socket of Config.Listen, which must set the mode itself: %w", os.ErrInvalid)
	case have.path() == "":
		return fmt.Errorf("cannot set the mode %#o of Config.Unix for the abstract name %q: %w", mode, have.Address, os.ErrInvalid)
	}
	return nil
}

// create creates a socket.
func (p *Process) create(ctx context.Context, want socket, packets bool) (made netSocket, have socket, err error) {
	if err := p.checkMode(want, packets); err != nil {
		return nil, want, err
	}
	network, address := want.Network, string(want.Address)
	switch {
	case packets && isUnix(network):
		made, err = asSocket(p.config.Unix.ListenPacket(ctx, network, address))
	case packets:
		made, err = asSocket(new(net.ListenConfig).ListenPacket(ctx, network, address))
	case p.config.Listen != nil:
		l, err := p.config.Listen(ctx, network, address)
		if err != nil {
			return nil, want, err
		}
		return p.reopen(l, want)
	case isUnix(network):
		made, err = asSocket(p.config.Unix.Listen(ctx, network, address))
	default:
		made, err = asSocket(new(net.ListenConfig).Listen(ctx, network, address))
	}
	want.FileID = sys.FileIDOf(os.Lstat(want.path()))
	return made, want, err
}

// reopen opens the socket of a listener from Config.Listen as successors do, so that the first process gets the same
// listener as they do. It closes the listener from Config.Listen.
func (p *Process) reopen(l net.Listener, want socket) (made netSocket, have socket, err error) {
	defer func() { _ = l.Close() }()
	u, ok := l.(interface{ SetUnlinkOnClose(bool) }) // the type of package net does not have it on Plan 9
	switch l.(type) {
	case *net.TCPListener, *net.UnixListener:
	case *scm.Listener:
		return nil, want, fmt.Errorf("Config.Listen returned a *scm.Listener, whose Config cannot be passed on: set Config.Unix instead: %w", os.ErrInvalid)
	default:
		return nil, want, fmt.Errorf("Config.Listen returned a %T, but only the socket of a *net.TCPListener or *net.UnixListener can be passed on: wrap the result of Process.Listen instead, and pass other sockets to Keep: %w", l, os.ErrInvalid)
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, want, err
	}
	defer func() { _ = f.Close() }()
	want.Created = samePath(l.Addr().String(), string(want.Address)) // otherwise, only Config.Listen knows the file
	want.FileID = sys.FileIDOf(os.Lstat(want.path()))
	made, err = open(f, want, false, p.config.Unix, false)
	if ok && err == nil {
		u.SetUnlinkOnClose(false) // made removes the file
	}
	return made, want, err
}

// explain wraps err, the reason why a socket could not be created. If a received socket caused it, the error names the
// socket.
func (p *Process) explain(want socket, err error) error {
	if sys.TableFull(err) { // package net can open no received socket either
		return err
	}
	p.mu.Lock()
	received, own := slices.Clone(p.succession.inherited), slices.Clone(p.server.offered)
	p.mu.Unlock() // the file system of a path may not respond
	for _, in := range received {
		if in.Name != want.Name || in.passed {
			continue
		}
		if bound, failed := in.bound(); bound == nil && failed == nil {
			return fmt.Errorf("package net cannot open the received socket or file %q, so call File to get it: %w", in.Name, err)
		}
	}
	if !sys.InUse(err) {
		return err
	}
	if p.notPassed != nil {
		err = fmt.Errorf("%w: %w", p.notPassed, err)
	}
	for _, in := range received {
		// Package net would set O_NONBLOCK in a file, for the predecessor too. A socket for the other version of IP only
		// is not the cause.
		if in.isFile() || in.fit(want.Network) == 0 {
			continue
		}
		bound, failed := in.bound()
		if failed != nil {
			err = fmt.Errorf("the address of the received socket %q is not known (%w): %w", in.Name, failed, err)
		}
		if path := want.path(); path != "" && bound != nil && bound.Network() != want.Network && samePath(bound.String(), path) {
			return fmt.Errorf("the received socket %q, %s, is a %s socket, not %s: %w", in.Name, bound, bound.Network(), want.Network, err)
		}
		if want.overlaps(bound, in.onlyIPv6(), err) {
			if bound.Network() == "tcp" {
				if listens, unknown := mayListen(in.file); !listens && unknown == nil {
					return fmt.Errorf("the received socket %q, %s, is not listening: %w", in.Name, bound, err)
				}
			}
			return fmt.Errorf("the address of %q, %s %s, overlaps that of the received socket %q, %s: %w", want.Name, want.Network, want.Address, in.Name, bound, err)
		}
	}
	for _, o := range own {
		bound := addressOf(o.conn)
		path := want.path()
		if !o.isClosed() && (want.overlaps(bound, false, err) || path != "" && bound != nil && samePath(bound.String(), path)) {
			return fmt.Errorf("this process already uses the address, as %q: %w", o.Name, err)
		}
	}
	if p.First() {
		return fmt.Errorf("no predecessor was waiting at %s, and %w", p.path, err)
	}
	return err
}

// overlaps reports whether a socket with the address bound, which accepts IPv4 too if it can and only6 is false, can be
// why want could not be created. err says at which address that failed.
func (want socket) overlaps(bound net.Addr, only6 bool, err error) bool {
	a, ok := bound.(interface{ AddrPort() netip.AddrPort })
	_, port, _ := net.SplitHostPort(string(want.Address))
	if !ok || bound.Network() != strings.TrimRight(want.Network, "46") || strconv.Itoa(int(a.AddrPort().Port())) != port {
		return false
	}
	var at netip.Addr // of any IP address, if it is not valid
	if failed := new(net.OpError); errors.As(err, &failed) {
		if a, ok := failed.Addr.(interface{ AddrPort() netip.AddrPort }); ok {
			at = a.AddrPort().Addr().Unmap()
		}
	}
	ip := a.AddrPort().Addr().Unmap()
	switch {
	case ip.IsUnspecified() && at.IsValid() && !at.IsUnspecified():
		return ip.Is4() == at.Is4() || ip.Is6() && !only6
	case at.IsValid() && !at.IsUnspecified():
		return ip == at
	}
	four, six := !strings.HasSuffix(want.Network, "6"), !strings.HasSuffix(want.Network, "4")
	return four && (ip.Is4() || ip.IsUnspecified() && !only6) || six && ip.Is6()
}

// File returns the file that the predecessor passed to Keep with this name, or a file or socket with this name that the
// service manager passed, or nil. It returns each only once. The caller must close it. Call File before Ready, which
// closes the files not yet returned. To let a successor have the file too, pass it to Keep.
func (p *Process) File(name string) *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.succession.take(func(in *inherited) bool { return in.Name == name && (in.isFile() || !in.passed) })
}

// Keep makes f, such as a memfd with state, available to successors, which get it from File. The caller still owns f.
// Once closed, it is no longer passed. The name must meet the requirements of Listen. If f is nil, the error wraps
// [os.ErrInvalid]. The processes share locks of flock(2) and F_OFD_SETLK on f: never unlock f, only close it. Locks of
// F_SETLK stay with this process.
func (p *Process) Keep(name string, f *os.File) (err error) {
	defer prefix(&err)
	if f == nil {
		return fmt.Errorf("no file for the name %q: %w", name, os.ErrInvalid)
	}
	return p.offer(newOffered(socket{Name: name}, f))
}
