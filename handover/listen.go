package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// A passed is a socket or file that this process has received, or that it passes to its successors.
type passed struct {
	socket
	conn            syscall.Conn // an *os.File until Listen or ListenPacket makes a socket of it
	own             any          // conn, or a Listener or Conn for it with a SetUnlinkOnClose of its own
	fromPredecessor bool         // not from the service manager
	kept            bool         // the service manager has it too
}

// file returns what this process has received.
func (s passed) file() *os.File { return s.conn.(*os.File) }

// index returns the index of the first element with the name, or -1.
func index(list []passed, name string) int {
	return slices.IndexFunc(list, func(s passed) bool { return s.Name == name })
}

// isFile reports whether the predecessor passed it to Keep.
func (s passed) isFile() bool { return s.fromPredecessor && s.Network == "" }

// isClosed reports whether the owner of the socket has closed it.
func (s passed) isClosed() bool {
	return withFD(s.conn, func(int) error { return nil }) != nil
}

// unlink sets whether closing the socket removes its file, if the program has not turned that off. Without Created, the
// file is not removed: what the program wants cannot be asked, and it is not turned on again.
func (s passed) unlink(on bool) {
	if l, ok := s.own.(interface{ SetUnlinkOnClose(bool) }); ok && (!on || s.Created && !s.kept) {
		l.SetUnlinkOnClose(on)
	}
}

// Listen returns a listening socket received from the predecessor or the service manager, or creates one.
// Successors receive the socket in turn. The caller must close the listener. Call Listen before Ready, so
// that every successor receives all sockets.
//
// Listen first looks for a received socket with the given name and address, then for one with the same
// address and another name. The address is the same if the predecessor called Listen with the same strings,
// or if a new socket would have the address of the received one. Port 0 matches any port of a socket with the given
// name. An unspecified IP address matches only if the network is the same too. Listen compares all strings before it
// resolves a name. If there is no such socket, Listen creates one, with Config.Listen if it is set. If that fails
// because a received socket uses the port, the error says so.
//
// For a Unix socket, the listener is a [*scm.Listener], unless Config.Listen created it. Listen makes a
// relative path absolute. Closing the listener removes the socket's file only if Listen created it without
// Config.Listen, in this process or an earlier one, and not while a successor or the service manager has
// the socket. SetUnlinkOnClose(false) leaves the file in any case. Each process must call it.
//
// The name must consist of 1 to 255 printable ASCII characters other than a colon. Otherwise, the error wraps
// [os.ErrInvalid]. If this process already uses a socket or file with this name, the error wraps
// [os.ErrExist].
func (p *Process) Listen(ctx context.Context, name, network, address string) (net.Listener, error) {
	open := func(f *os.File) (net.Listener, error) {
		if !isListening(f) { // package net would take a connection
			return nil, os.ErrInvalid
		}
		l, err := net.FileListener(f)
		if u, ok := l.(*net.UnixListener); ok {
			return scm.NewListener(u)
		}
		return l, err
	}
	create := p.config.Listen
	if create == nil {
		create = func(ctx context.Context, network, address string) (net.Listener, error) {
			if isUnix(network) {
				return scm.Listen(ctx, network, address)
			}
			return new(net.ListenConfig).Listen(ctx, network, address)
		}
	}
	return obtain(ctx, p, socket{name, network, address, p.config.Listen == nil}, open, create)
}

// ListenPacket is like [Process.Listen], but for packets. It does not use Config.Listen. Until the
// predecessor closes its descriptor, either process can receive a packet, and each packet is delivered to
// only one of them. For a Unix socket, the result is a [*scm.Conn].
func (p *Process) ListenPacket(ctx context.Context, name, network, address string) (net.PacketConn, error) {
	open := func(f *os.File) (net.PacketConn, error) {
		c, err := net.FilePacketConn(f)
		if s, ok := c.(net.Conn); ok && s.RemoteAddr() != nil {
			_ = c.Close()
			return nil, os.ErrInvalid // it receives only from one address
		}
		if u, ok := c.(*net.UnixConn); ok {
			return scm.NewConn(u)
		}
		return c, err
	}
	create := func(ctx context.Context, network, address string) (net.PacketConn, error) {
		if isUnix(network) {
			return scm.ListenPacket(ctx, network, address)
		}
		return new(net.ListenConfig).ListenPacket(ctx, network, address)
	}
	return obtain(ctx, p, socket{name, network, address, true}, open, create)
}

// isListening reports whether a socket is listening, or true on a system that does not say.
func isListening(f *os.File) (listens bool) {
	err := withFD(f, func(fd int) (err error) {
		listens, err = sys.Listening(fd)
		return err
	})
	return listens || sys.UnknownOption(err)
}

func isUnix(network string) bool { return strings.HasPrefix(network, "unix") }

// absolute makes the path of a Unix socket absolute. It returns other addresses unchanged.
func absolute(address string) (string, error) {
	if address == "" || address[0] == '@' || address[0] == 0 {
		return address, nil
	}
	return filepath.Abs(address)
}

// obtain implements Listen and ListenPacket.
func obtain[T io.Closer](ctx context.Context, p *Process, want socket, open func(*os.File) (T, error), create func(ctx context.Context, network, address string) (T, error)) (l T, err error) {
	defer prefix(&err)
	var none T
	if isUnix(want.Network) {
		if want.Address, err = absolute(want.Address); err != nil {
			return none, err
		}
	}
	p.mu.Lock()
	hasReceived := len(p.received) > 0
	err = p.isFree(want.Name)
	p.mu.Unlock()
	if err != nil {
		return none, err
	}
	l, found := claim(p, &want, netip.AddrPort{}, open)
	if !found && hasReceived {
		l, found = claim(p, &want, want.resolve(ctx), open)
	}
	if !found {
		if l, err = create(ctx, want.Network, want.Address); err != nil {
			return none, p.explain(want, err)
		}
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
		err = p.offer(want, s, found)
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
	for _, s := range p.offered {
		if s.Name == name && !s.isClosed() {
			return fmt.Errorf("the name %q is in use: %w", name, os.ErrExist)
		}
	}
	return nil
}

// offer makes a socket or file available to successors. If it was received, closing it leaves its file until Ready.
func (p *Process) offer(s socket, conn syscall.Conn, received bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.isFree(s.Name); err != nil {
		return err
	}
	p.offered = slices.DeleteFunc(p.offered, func(o passed) bool { return o.Name == s.Name })
	o := passed{socket: s, conn: conn, own: conn}
	switch c := conn.(type) {
	case *scm.Listener:
		o.own, _ = scm.NewListener(c)
	case *scm.Conn:
		o.own, _ = scm.NewConn(c)
	}
	if received {
		o.unlink(false)
	}
	p.offered = append(p.offered, o)
	return nil
}

// resolve returns the address of the socket that package net would create, or the zero AddrPort if it would
// create none.
func (want socket) resolve(ctx context.Context) (at netip.AddrPort) {
	host, service, err := net.SplitHostPort(want.Address)
	port, unknown := net.DefaultResolver.LookupPort(ctx, want.Network, service)
	if err != nil || unknown != nil || isUnix(want.Network) {
		return at
	}
	if host == "" { // all addresses of the machine
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))
	}
	found, _ := net.DefaultResolver.LookupIPAddr(ctx, host)
	for _, a := range slices.Backward(found) { // the first IPv4 address, or else the first one
		ip, _ := netip.ParseAddr(a.String())
		wrong := strings.HasSuffix(want.Network, "4") && !ip.Is4() || strings.HasSuffix(want.Network, "6") && ip.Is4()
		if !wrong && (ip.Is4() || !at.Addr().Is4()) {
			at = netip.AddrPortFrom(ip, uint16(port))
		}
	}
	return at
}

// claim takes a socket with the wanted address, which resolves to at, from p.received. If at is zero, claim compares
// only strings. It sets want.Created.
func claim[T io.Closer](p *Process, want *socket, at netip.AddrPort, open func(*os.File) (T, error)) (l T, found bool) {
	_, port, err := net.SplitHostPort(want.Address)
	anyPort := err == nil && !isUnix(want.Network) && strings.Trim(port, "0") == ""
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, named := range []bool{true, false} {
		if !named && anyPort { // any port, but not that of another socket
			break
		}
		for i, s := range p.received {
			if s.Name == controlName || (s.Name == want.Name) != named || s.isFile() {
				continue
			}
			have := s.addr()
			if !s.isAt(have, *want, at) {
				continue
			}
			l, err := open(s.file())
			if err != nil {
				continue // a socket of another kind
			}
			_ = s.file().Close() // l has a duplicate
			p.received = slices.Delete(p.received, i, i+1)
			if !named {
				p.unused = append(p.unused, s.Name)
			}
			// If the path of a Unix socket was too long for the kernel, its address is another path.
			want.Created = s.Created && (!isUnix(want.Network) || have.String() == want.Address)
			return l, true
		}
	}
	return l, false
}

// isAt reports whether the received socket, whose address is have, is the wanted one, which resolves to at.
func (s passed) isAt(have net.Addr, want socket, at netip.AddrPort) bool {
	switch {
	case s.fromPredecessor && s.Network == want.Network && s.Address == want.Address:
		return true
	case have == nil: // not a socket
		return false
	case have.Network() == want.Network && have.String() == want.Address:
		return true
	}
	a, ok := have.(interface{ AddrPort() netip.AddrPort })
	if !ok || !at.IsValid() || at.Port() != 0 && at.Port() != a.AddrPort().Port() { // port 0 means any port
		return false
	}
	ip := a.AddrPort().Addr().Unmap()
	if at.Addr().IsUnspecified() {
		// A "tcp" socket may accept IPv4 where a "tcp6" socket does not. Only the network distinguishes them.
		return ip.IsUnspecified() && (!s.fromPredecessor || s.Network == want.Network)
	}
	return ip == at.Addr()
}

// explain wraps err, the reason that a socket could not be created. If its address overlaps that of a received socket,
// the error names that socket.
func (p *Process) explain(want socket, err error) error {
	if !sys.InUse(err) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, port, _ := net.SplitHostPort(want.Address)
	for _, s := range p.received {
		have := s.addr()
		if a, ok := have.(interface{ AddrPort() netip.AddrPort }); ok && strconv.Itoa(int(a.AddrPort().Port())) == port {
			return fmt.Errorf("the address of %q, %s %s, overlaps that of the received socket %q, %s: %w", want.Name, want.Network, want.Address, s.Name, have, err)
		}
	}
	if p.predecessor == nil {
		return fmt.Errorf("no predecessor was waiting at %s, and %w", p.path, err)
	}
	return err
}

// addr returns the address that a received socket is bound to, or nil if it is not a socket of package net.
func (s passed) addr() net.Addr {
	if l, err := net.FileListener(s.file()); err == nil {
		defer func() { _ = l.Close() }()
		return l.Addr()
	}
	if c, err := net.FilePacketConn(s.file()); err == nil {
		defer func() { _ = c.Close() }()
		return c.LocalAddr()
	}
	return nil
}

// File returns the file that the predecessor passed to Keep with this name, or a file or socket with this
// name that the service manager passed. If there is none, it returns nil. It returns each file only once. The caller
// must close it. Call File before Ready, which closes the files that have not been returned. To let a successor
// have the file too, pass it to Keep.
func (p *Process) File(name string) *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.received {
		if s.Name == name && name != lifeName && (s.isFile() || !s.fromPredecessor) {
			p.received = slices.Delete(p.received, i, i+1)
			return s.file()
		}
	}
	return nil
}

// Keep makes the file f available to successors, which call File to get it. The file may be a memfd that
// contains state, for example, or a lock. The caller still owns f. If f has been closed, it is no longer
// passed. The name must meet the requirements of Listen. If f is nil, the error wraps [os.ErrInvalid].
func (p *Process) Keep(name string, f *os.File) (err error) {
	defer prefix(&err)
	if f == nil {
		return fmt.Errorf("no file for the name %q: %w", name, os.ErrInvalid)
	}
	return p.offer(socket{Name: name}, f, false)
}
