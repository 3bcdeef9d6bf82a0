package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// Listen returns a listening socket received from the predecessor or the service manager, or creates one.
// Successors receive the socket in turn. The caller must close the listener. Call Listen before Ready, so
// that every successor receives all sockets.
//
// Listen first looks for a received socket with the given name and address, then for one with the same
// address and another name. The address is the same if the predecessor called Listen with the same strings,
// or if a new socket would have the address of the received one. Paths are the same if they lead to the same name in
// the same directory. Port 0 matches any port of a socket with the given name. An unspecified IP address matches only
// if the network is the same too. Listen compares all strings before it resolves a name. If there is no such socket,
// Listen creates one, with Config.Listen if it is set. If that fails because a received socket uses the port, the error
// says so.
//
// For a Unix socket, the listener is a [*scm.Listener], unless Config.Listen created it. Listen makes a
// relative path absolute, but does not clean it. Closing the listener removes the socket's file only if Listen
// created it without Config.Listen, in this process or an earlier one, and not while a successor or the service
// manager has the socket, and never removes a file that has replaced the socket's. SetUnlinkOnClose(false) leaves the
// file in any case. Each process must call it.
//
// The name must consist of 1 to 255 printable ASCII characters other than a colon. Otherwise, the error wraps
// [os.ErrInvalid]. If this process already uses a socket or file with this name, the error wraps
// [os.ErrExist].
func (p *Process) Listen(ctx context.Context, name, network, address string) (net.Listener, error) {
	create := p.config.Listen
	if create == nil {
		create = func(ctx context.Context, network, address string) (net.Listener, error) {
			if isUnix(network) {
				return scm.Listen(ctx, network, address)
			}
			return new(net.ListenConfig).Listen(ctx, network, address)
		}
	}
	return obtain(ctx, p, socket{Name: name, Network: network, Address: []byte(address), Created: p.config.Listen == nil}, openListener, create)
}

// ListenPacket is like [Process.Listen], but for packets. It does not use Config.Listen. Until the
// predecessor closes its descriptor, either process can receive a packet, and each packet is delivered to
// only one of them. For a Unix socket, the result is a [*scm.Conn].
func (p *Process) ListenPacket(ctx context.Context, name, network, address string) (net.PacketConn, error) {
	create := func(ctx context.Context, network, address string) (net.PacketConn, error) {
		if isUnix(network) {
			return scm.ListenPacket(ctx, network, address)
		}
		return new(net.ListenConfig).ListenPacket(ctx, network, address)
	}
	return obtain(ctx, p, socket{Name: name, Network: network, Address: []byte(address), Created: true}, openPacketConn, create)
}

// obtain implements Listen and ListenPacket.
func obtain[T io.Closer](ctx context.Context, p *Process, want socket, open func(f *os.File, have socket) (T, error), create func(ctx context.Context, network, address string) (T, error)) (l T, err error) {
	defer prefix(&err)
	var none T
	if isUnix(want.Network) {
		path, err := absolute(string(want.Address), true)
		if err != nil {
			return none, err
		}
		want.Address = []byte(path)
	}
	p.mu.Lock()
	received := slices.Clone(p.succession.inherited)
	err = p.isFree(want.Name)
	p.mu.Unlock()
	if err != nil {
		return none, err
	}
	l, found := claim(p, received, &want, netip.AddrPort{}, open)
	if !found && len(received) > 0 && !isUnix(want.Network) {
		l, found = claim(p, received, &want, want.resolve(ctx), open)
	}
	if !found {
		if l, err = create(ctx, want.Network, string(want.Address)); err != nil {
			return none, p.explain(want, err)
		}
		want.FileID = sys.FileIDOf(os.Lstat(want.path()))
	} else if want.isLost() {
		p.logger.Warn("handover: clients cannot reach a received socket, because its path does not lead to it", "name", want.Name, "path", want.path())
	}
	s, ok := any(l).(syscall.Conn)
	if !ok {
		_ = l.Close()
		return none, fmt.Errorf("cannot pass a %T: it has no SyscallConn method: %w", l, os.ErrInvalid)
	}
	err = withFD(s, func(int) error { return nil })
	if err != nil {
		err = fmt.Errorf("cannot pass a %T: it provides no descriptor: %w", l, err)
	} else {
		o := newOffered(want, s)
		if found { // until Ready, the predecessor needs the file
			o.unlink(false)
		}
		err = p.offer(o)
	}
	if err != nil {
		_ = l.Close()
		return none, err
	}
	return l, nil
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

// claim takes a received socket with the wanted address, which resolves to at. If at is zero, claim compares only
// strings. It sets want.Created and want.FileID. p.mu must not be held while claim examines paths, whose file systems
// may not respond.
func claim[T io.Closer](p *Process, received []*inherited, want *socket, at netip.AddrPort, open func(f *os.File, have socket) (T, error)) (l T, found bool) {
	_, port, err := net.SplitHostPort(string(want.Address))
	anyPort := err == nil && !isUnix(want.Network) && strings.Trim(port, "0") == ""
	for _, named := range []bool{true, false} {
		if !named && anyPort { // any port, but not that of another socket
			break
		}
		for _, in := range received {
			if (in.Name == want.Name) != named || in.isFile() || !in.isAt(in.bound(), *want, at) {
				continue
			}
			have := *want
			have.Created, have.FileID = in.Created, in.FileID
			l, err := open(in.file, have)
			if err != nil {
				continue // a socket of another kind
			}
			p.mu.Lock()
			taken := p.succession.take(func(other *inherited) bool { return other.file == in.file }) != nil
			if taken && !named {
				p.succession.unused = append(p.succession.unused, in.Name)
			}
			p.mu.Unlock()
			if taken {
				*want = have
				_ = in.file.Close() // l has a duplicate
				return l, true
			}
			newOffered(have, any(l).(syscall.Conn)).unlink(false) // another call has used or closed it
			_ = l.Close()
		}
	}
	return l, false
}

// explain wraps err, the reason that a socket could not be created. If its address overlaps that of a received socket,
// the error names that socket.
func (p *Process) explain(want socket, err error) error {
	if !sys.InUse(err) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, port, _ := net.SplitHostPort(string(want.Address))
	for _, in := range p.succession.inherited {
		bound := in.bound()
		if a, ok := bound.(interface{ AddrPort() netip.AddrPort }); ok && strconv.Itoa(int(a.AddrPort().Port())) == port {
			return fmt.Errorf("the address of %q, %s %s, overlaps that of the received socket %q, %s: %w", want.Name, want.Network, want.Address, in.Name, bound, err)
		}
	}
	if p.First() {
		return fmt.Errorf("no predecessor was waiting at %s, and %w", p.path, err)
	}
	return err
}

// File returns the file that the predecessor passed to Keep with this name, or a file or socket with this
// name that the service manager passed. If there is none, it returns nil. It returns each file only once. The caller
// must close it. Call File before Ready, which closes the files that have not been returned. To let a successor
// have the file too, pass it to Keep.
func (p *Process) File(name string) *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.succession.take(func(in *inherited) bool { return in.Name == name && (in.isFile() || !in.passed) })
}

// Keep makes the file f available to successors, which call File to get it. The file may be a memfd that
// contains state, for example. The processes share the locks of flock(2) and F_OFD_SETLK on f, so never unlock f, only
// close it. Locks of F_SETLK stay with this process. The caller still owns f. If f has been closed, it is no longer
// passed. The name must meet the requirements of Listen. If f is nil, the error wraps [os.ErrInvalid].
func (p *Process) Keep(name string, f *os.File) (err error) {
	defer prefix(&err)
	if f == nil {
		return fmt.Errorf("no file for the name %q: %w", name, os.ErrInvalid)
	}
	return p.offer(newOffered(socket{Name: name}, f))
}
