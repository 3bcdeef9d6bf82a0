// Package relay passes messages between the clients of a server and the server, and changes nothing about them. Each
// descriptor arrives with the byte with which it was sent.
//
// This needs care on a stream socket. A receive returns the bytes of several messages, up to the end of the first that
// has descriptors. A relay that sends what it has received passes the descriptors on with an earlier byte, at which the
// receiver may not expect them. A peek with a control buffer does not help: it returns copies of the descriptors, and
// does not report their byte either. A peek without space for descriptors installs none, and sets MSG_CTRUNC if any are
// queued. Then the pump peeks again, with the last byte on a page that cannot be written. The kernel then returns
// nothing of the message with the descriptors, and so the bytes before it.
package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// A Relay connects to a server for each client that connects to it.
type Relay struct {
	Type    int    // of the sockets: unix.SOCK_STREAM or unix.SOCK_SEQPACKET
	Connect string // the address of the server: a path, or an abstract name that starts with @

	// ToServer, if it is not nil, is called with each message that a client sends before the relay passes it on. A
	// message of a stream begins with the byte that has descriptors. The function may change FDs. The relay closes the
	// descriptors that it received, and no others. Several goroutines may call it at the same time.
	ToServer func(m *Message)

	// Drain is how long Serve waits, after the context is done, until the server has received what the clients have
	// sent. If it is not 0, Serve first accepts the clients that have connected before.
	Drain time.Duration

	Clients int // how many Serve has accepted

	// Failed, if it is not nil, is called if the relay has to give up a connection. Several goroutines may call it at
	// the same time.
	Failed func(err error)
}

// A Message is what the relay has received, and passes on with one call if the receiver has space for it.
type Message struct {
	Client int // counts the clients of the relay, from 1
	Data   []byte
	FDs    []int
	cred   *unix.Ucred // of the sender, or nil
}

// retry is the time to wait for the kernel if it does not report when a call can succeed.
const retry = 10 * time.Millisecond

// Serve accepts clients until the context is done, and then closes their connections. It does not close the listener,
// but leaves it with a deadline that has passed. It returns an error only if it cannot accept clients for another
// reason.
func (r *Relay) Serve(ctx context.Context, l *net.UnixListener) error {
	if err := control(l, passCred); err != nil { // for messages that arrive before their client is accepted
		return err
	}
	noMemory() // it keeps its result, so ask before the clients fill the descriptor table
	var connections, sending sync.WaitGroup
	open, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer connections.Wait()
	defer cut()
	defer func() {
		defer time.AfterFunc(r.Drain, cut).Stop()
		sending.Wait()
	}()
	defer context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Now()) })()
	for {
		c, err := l.AcceptUnix()
		if err != nil && ctx.Err() != nil && r.Drain > 0 { // the listener has a deadline
			c, err = acceptNow(l)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case ctx.Err() != nil && r.Drain == 0:
			c.Close()
			return nil
		case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE): // clients wait until a connection ends
			time.Sleep(retry)
			continue
		case err != nil:
			return err
		}
		r.Clients++
		n := r.Clients
		connections.Add(1)
		sending.Add(1)
		go func() {
			defer connections.Done()
			sent := sync.OnceFunc(sending.Done)
			defer sent()
			if err := r.connect(open, c, n, sent); err != nil && open.Err() == nil && r.Failed != nil {
				r.Failed(fmt.Errorf("client %d: %w", n, err))
			}
		}()
	}
}

// acceptNow accepts a client that has connected, and does not wait for one.
func acceptNow(l *net.UnixListener) (*net.UnixConn, error) {
	var fd int
	err := control(l, func(sock int) (err error) {
		fd, _, err = unix.Accept4(sock, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return err
	})
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "client")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// connect connects to the server for a client, and passes messages on until both sides have closed the connection. It
// calls sent as soon as the server has received all messages of the client.
func (r *Relay) connect(ctx context.Context, client *net.UnixConn, n int, sent func()) error {
	defer client.Close()
	if err := control(client, passCred); err != nil {
		return err
	}
	server, err := r.dial(ctx, client)
	if err != nil {
		return fmt.Errorf("connect %s: %w", r.Connect, err)
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); server.Close() })()
	toServer, err := newPump(client, server, r.Type)
	if err != nil {
		return err
	}
	toClient, err := newPump(server, client, r.Type)
	if err != nil {
		return err
	}
	toServer.client, toServer.change = n, r.ToServer
	failed := make(chan error, 1)
	go func() { failed <- toClient.run() }()
	err = toServer.run()
	sent()
	return errors.Join(err, <-failed)
}

// dial connects to the server with the user and the groups of the client. Only root can have those of another user.
func (r *Relay) dial(ctx context.Context, client *net.UnixConn) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, r.Type|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	server := os.NewFile(uintptr(fd), r.Connect)
	var cred *unix.Ucred
	var groups []uint32
	if os.Geteuid() == 0 {
		err = control(client, func(fd int) (err error) {
			if cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				groups, err = raw.PeerGroups(fd)
			}
			if err == nil && isOwn(cred, groups) {
				cred = nil
			}
			return err
		})
	}
	for err == nil {
		err = connectAs(fd, r.Connect, cred, groups)
		if !errors.Is(err, unix.EAGAIN) { // the backlog of the server is full
			break
		}
		time.Sleep(retry)
		err = ctx.Err()
	}
	if err == nil {
		err = passCred(fd) // before a connect, the option would bind the socket to a name
	}
	if err != nil {
		server.Close()
		return nil, err
	}
	return server, nil
}

// isOwn reports whether a user and groups are those of this process, which may not be permitted to set them again.
func isOwn(cred *unix.Ucred, groups []uint32) bool {
	own, err := os.Getgroups()
	if err != nil || len(own) != len(groups) || int(cred.Uid) != os.Geteuid() || int(cred.Gid) != os.Getegid() {
		return false
	}
	return !slices.ContainsFunc(groups, func(g uint32) bool { return !slices.Contains(own, int(g)) })
}

// Connect connects a socket to an address: a path, or an abstract name that starts with @. As the kernel lists it, an
// abstract name may end with @ for each zero byte of padding.
func Connect(fd int, address string) error { return raw.Connect(fd, sockaddr(address)) }

// sockaddr returns the bytes of a sockaddr_un, because package unix refuses a name that fills it.
func sockaddr(address string) []byte {
	name := binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
	if address, abstract := strings.CutPrefix(address, "@"); abstract {
		short := strings.TrimRight(address, "@")
		return append(append(append(name, 0), short...), make([]byte, len(address)-len(short))...)
	}
	return append(append(name, address...), 0)
}

// Listen creates a listening socket, or a datagram socket, at an address.
func Listen(typ int, address string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = raw.Bind(fd, sockaddr(address)); err == nil && typ != unix.SOCK_DGRAM {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind to %s: %w", address, err)
	}
	return fd, nil
}

// connectAs connects the socket. If cred is not nil, it does so with this user and these groups.
func connectAs(fd int, address string, cred *unix.Ucred, groups []uint32) error {
	if cred == nil {
		return Connect(fd, address)
	}
	var err error
	ownthread.Run(func() {
		if err = raw.SetThreadIDs(cred.Uid, cred.Gid, groups); err == nil {
			err = Connect(fd, address)
		}
	})
	return err
}

// passCred makes the kernel add the sender's credentials to each message that the socket receives.
func passCred(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
}

// control calls a function with the descriptor of a connection.
func control(c syscall.Conn, f func(fd int) error) error {
	conn, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return err
	}
	return result
}
