package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// inherited is a socket or file passed by the predecessor or the service manager.
type inherited struct {
	socket
	file            *os.File
	fromPredecessor bool
}

// offered is a socket or file for successors.
type offered struct {
	socket
	conn syscall.Conn
	kept bool // the service manager has it too
}

// isClosed reports whether the owner of the socket has closed it.
func (o offered) isClosed() bool {
	return withFD(o.conn, func(int) error { return nil }) != nil
}

// unlink sets whether closing the socket removes its file. The file is never removed if none of the server's processes
// created it, or if the service manager keeps the socket.
func (o offered) unlink(on bool) { setUnlink(o.conn, on && o.Created && !o.kept) }

func setUnlink(socket any, on bool) {
	if s, ok := socket.(interface{ SetUnlinkOnClose(bool) }); ok {
		s.SetUnlinkOnClose(on)
	}
}

// Listen returns a listening socket received from the predecessor or the service manager, or creates one.
// Successors receive the socket in turn. The caller must close the listener. Call Listen before Ready, so
// that every successor receives all sockets.
//
// Listen first looks for a received socket with the given name and address, then for one with the same
// address and another name. The address is the same if the predecessor called Listen with the same strings,
// or if the given address resolves to that of the socket. Port 0 matches any port of a socket with the given
// name. An unspecified IP address matches only if the network is the same too. If there is no such socket,
// Listen creates one, with Config.Listen if it is set. If that fails because a received socket uses the port,
// the error says so.
//
// For a Unix socket, the listener is a [*scm.Listener], unless Config.Listen created it. Listen makes a
// relative path absolute. Closing the listener removes the socket's file only if one of the server's
// processes created it, and not while a successor or the service manager has the socket.
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
	return obtain(ctx, p, socket{Name: name, Network: network, Address: address}, open, create, net.Listener.Addr)
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
	return obtain(ctx, p, socket{Name: name, Network: network, Address: address}, open, create, net.PacketConn.LocalAddr)
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
func obtain[T io.Closer](ctx context.Context, p *Process, want socket, open func(*os.File) (T, error), create func(ctx context.Context, network, address string) (T, error), addr func(T) net.Addr) (l T, err error) {
	defer prefix(&err)
	var none T
	if isUnix(want.Network) {
		if want.Address, err = absolute(want.Address); err != nil {
			return none, err
		}
	}
	if err := p.checkFree(want.Name); err != nil {
		return none, err
	}
	l, created, found := claim(p, want, resolve(ctx, want), open, addr)
	if found {
		// If the path of a Unix socket was too long for the kernel, its address is another path.
		want.Created = created && (!isUnix(want.Network) || addr(l).String() == want.Address)
	} else {
		if l, err = create(ctx, want.Network, want.Address); err != nil {
			return none, p.explain(want, err)
		}
		want.Created = true
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
		err = p.offer(want, s)
	}
	if err != nil {
		_ = l.Close()
		return none, err
	}
	return l, nil
}

// checkFree returns an error if the name cannot be used for a socket or file.
func (p *Process) checkFree(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isFree(name)
}

// isFree is checkFree for callers that hold p.mu.
func (p *Process) isFree(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if p.closed {
		return errClosed
	}
	for _, o := range p.offered {
		if o.Name == name && !o.isClosed() {
			return fmt.Errorf("the name %q is in use: %w", name, os.ErrExist)
		}
	}
	return nil
}

// offer makes a socket or file available to successors.
func (p *Process) offer(s socket, conn syscall.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.isFree(s.Name); err != nil {
		return err
	}
	p.offered = slices.DeleteFunc(p.offered, func(o offered) bool { return o.Name == s.Name })
	p.offered = append(p.offered, offered{socket: s, conn: conn})
	return nil
}

// A target contains the IP addresses and the port that an address resolves to.
type target struct {
	ips  []net.IPAddr // none means all addresses of the machine
	port int          // -1 if the address cannot be resolved, or has no port
}

func resolve(ctx context.Context, want socket) target {
	host, service, err := net.SplitHostPort(want.Address)
	if err != nil || isUnix(want.Network) {
		return target{port: -1}
	}
	t := target{}
	if t.port, err = net.DefaultResolver.LookupPort(ctx, want.Network, service); err != nil {
		return target{port: -1}
	}
	if host != "" {
		if t.ips, err = net.DefaultResolver.LookupIPAddr(ctx, host); err != nil {
			return target{port: -1}
		}
	}
	return t
}

// has reports whether a socket of the network can have been bound to t.
func (t target) has(network string, ip net.IP, zone string) bool {
	return slices.ContainsFunc(t.ips, func(a net.IPAddr) bool {
		is4 := a.IP.To4() != nil
		return a.IP.Equal(ip) && a.Zone == zone && !(is4 && strings.HasSuffix(network, "6")) && (is4 || !strings.HasSuffix(network, "4"))
	})
}

// isAll reports whether t means all addresses of the machine.
func (t target) isAll() bool { return len(t.ips) == 0 || t.ips[0].IP.IsUnspecified() }

// claim takes a socket with the wanted address from p.inherited.
func claim[T io.Closer](p *Process, want socket, at target, open func(*os.File) (T, error), addr func(T) net.Addr) (l T, created, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, named := range []bool{true, false} {
		for i, in := range p.inherited {
			if in.Name == controlName || (in.Name == want.Name) != named || in.isFile() {
				continue
			}
			if at.port == 0 && !named { // any port, but not that of another socket
				continue
			}
			l, err := open(in.file)
			if err != nil {
				continue // a socket of another kind
			}
			if in.has(addr(l), want, at) {
				_ = in.file.Close() // l has a duplicate
				p.inherited = slices.Delete(p.inherited, i, i+1)
				if named {
					p.use(in.Name)
				}
				return l, in.Created, true
			}
			_ = l.Close()
		}
	}
	return l, false, false
}

// isFile reports whether the predecessor passed it to Keep.
func (in inherited) isFile() bool { return in.fromPredecessor && in.Network == "" }

// has reports whether the socket, whose address is have, is the one described by want, which resolves to at.
func (in inherited) has(have net.Addr, want socket, at target) bool {
	if in.fromPredecessor && in.Network == want.Network && in.Address == want.Address {
		return true
	}
	switch have := have.(type) {
	case *net.TCPAddr:
		return in.hasIP(want, at, have.IP, have.Zone, have.Port)
	case *net.UDPAddr:
		return in.hasIP(want, at, have.IP, have.Zone, have.Port)
	case *net.UnixAddr:
		return have.Net == want.Network && have.Name == want.Address
	}
	return false
}

func (in inherited) hasIP(want socket, at target, ip net.IP, zone string, port int) bool {
	switch {
	case at.port != port && at.port != 0: // port 0 means any port
		return false
	case at.isAll():
		// A "tcp" socket may accept IPv4 where a "tcp6" socket does not. Only the network distinguishes them.
		return ip.IsUnspecified() && (!in.fromPredecessor || in.Network == want.Network)
	}
	return at.has(want.Network, ip, zone)
}

// explain wraps err, the reason that a socket could not be created. If its address overlaps that of a received socket,
// the error names that socket.
func (p *Process) explain(want socket, err error) error {
	if errors.Is(err, errInUse) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, port, _ := net.SplitHostPort(want.Address)
		for _, in := range p.inherited {
			_, other, split := net.SplitHostPort(in.address())
			if split == nil && port == other {
				return fmt.Errorf("the address of %q, %s %s, overlaps that of the received socket %q, %s: %w", want.Name, want.Network, want.Address, in.Name, in.address(), err)
			}
		}
		if p.predecessor == nil {
			return fmt.Errorf("no predecessor was waiting at %s, and %w", p.path, err)
		}
	}
	return err
}

// address returns the address that the socket is bound to, or "" if it is not a socket of package net.
func (in inherited) address() string {
	if l, err := net.FileListener(in.file); err == nil {
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}
	if c, err := net.FilePacketConn(in.file); err == nil {
		defer func() { _ = c.Close() }()
		return c.LocalAddr().String()
	}
	return ""
}

// File returns the file that the predecessor passed to Keep with this name, or a file or socket with this
// name that the service manager passed. If there is none, it returns nil. It returns each file only once. The caller must
// close it. Call File before Ready, which closes the files that have not been returned. To let a successor
// have the file too, pass it to Keep.
func (p *Process) File(name string) *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, in := range p.inherited {
		if in.Name == name && (in.isFile() || !in.fromPredecessor) {
			p.inherited = slices.Delete(p.inherited, i, i+1)
			p.use(name)
			return in.file
		}
	}
	return nil
}

// use records that a received socket keeps its name. p.mu must be held.
func (p *Process) use(name string) {
	if i := slices.Index(p.unused, name); i >= 0 {
		p.unused = slices.Delete(p.unused, i, i+1)
	}
}

// Keep makes the file f available to successors, which call File to get it. The file may be a memfd that
// contains state, for example, or a lock. The caller still owns f. If f has been closed, it is no longer
// passed. The name must meet the requirements of Listen. If f is nil, the error wraps [os.ErrInvalid].
func (p *Process) Keep(name string, f *os.File) (err error) {
	defer prefix(&err)
	if f == nil {
		return fmt.Errorf("no file for the name %q: %w", name, os.ErrInvalid)
	}
	return p.offer(socket{Name: name}, f)
}
