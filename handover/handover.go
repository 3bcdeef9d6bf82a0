// Package handover lets a new version of a server take over from the running one without losing a request.
//
// Each running version is a [Process]. The first one creates its listening sockets and waits for a successor
// at a Unix socket, whose path it passes to [Start]. A successor is usually a new version of the same
// program, started with the same path. It receives the sockets from its predecessor, prepares to serve, and
// calls [Process.Ready]. When Ready returns nil, it serves. The predecessor then stops accepting
// connections, answers the requests that it has already accepted, and exits:
//
//	p, err := handover.Start(ctx, "/run/app/handover.sock")
//	l, err := p.Listen(ctx, "web", "tcp", ":8080")
//	… // everything else that can take long or fail
//	if err := p.Ready(ctx); err != nil {
//		log.Fatal(err) // the predecessor continues
//	}
//	go serve(l)
//	<-p.Replaced()
//	… // close l, wait for the clients, and exit
//
// Connections that clients open at any time during this are in the queue of a socket that both processes
// have, so none is refused.
//
// # Failures
//
// If the successor fails before Ready has returned nil, the predecessor continues, and its clients notice
// nothing. If the predecessor dies after it has sent the sockets, the successor serves alone. At no time do
// two processes both intend to keep serving. A process that is stopped (SIGSTOP) between two messages can
// make the other one wait, but cannot make it serve as well.
//
// # Who may take over
//
// A process that can connect to the Unix socket can get all sockets of the server. Start creates the
// socket's file with mode 0600 on Linux, and by default only a process of the same user or of root may take
// over (see [Config].Check). Put the file into a directory that only the server's user can write to.
//
// # Service managers
//
// In a systemd unit with Type=notify or Type=notify-reload, which set NOTIFY_SOCKET, the package sends all
// notifications that a handover needs. Ready sends READY=1 in the first process. Upgrade sends RELOADING=1 and
// starts the successor as a child of the manager. When a successor of the same unit (INVOCATION_ID) serves, the
// predecessor sends MAINPID and READY=1, waits until the manager has processed them, and is replaced only then,
// so that it may exit. If an upgrade fails, the unit's status is the reason. In another unit, the successor
// sends READY=1 itself.
//
// If FDSTORE is set, as systemd does from version 254 if FileDescriptorStoreMax= is, the manager keeps the
// sockets that Listen and ListenPacket have returned. When the main process is killed, connections wait for
// the next one, instead of being refused.
//
// Errors of notifications are passed to Config.Log, and have no other effect. Without NOTIFY_SOCKET, none of
// this happens. Supervisors such as runit and s6 start another process when their child has exited, so the
// package does not work below them. A container ends with its process 1, which therefore cannot be replaced.
//
// # The protocol
//
// The Unix socket is a stream. A message is its length (4 bytes, big-endian) and a JSON object, at most 1
// MiB long. Its descriptors are sent with the first byte of the length. The field "type" is the type of the
// message, and "descriptors" is the number of its descriptors, at most 253. A receiver ignores fields that
// it does not know, and closes the descriptors that belong to them.
//
//	successor           predecessor
//	hello           →                 versions, needs, unit
//	                ←   sockets …     version, sockets, more
//	ready           →
//	                ←   go
//	going           →
//	                ←   main
//
// In hello, versions lists the versions of the protocol that the successor supports, needs is the time in
// milliseconds that it may take until ready, and unit is its INVOCATION_ID. The predecessor chooses one of
// the versions, which is 1. Each element of sockets has a name, a network, an address, and created, which is
// true if one of these processes created the socket. The first descriptors of the message belong to these
// elements, in order. A file that was passed to [Process.Keep] has no network. The socket ":control" is the
// Unix socket itself, and ":life" is the read end of a pipe whose other end is open as long as the
// predecessor lives. If more is true, another message of type sockets follows.
//
// After it has received go, the successor may send going and then serve. The predecessor is replaced when it
// has received going. Instead of any message, a process may send abort, with a reason. The end of the stream
// before going means that the successor has died. For the successor, the end of the stream means that the
// predecessor has died only if ":life" has ended too.
//
// If main in go is true, the predecessor tells the service manager that the successor is now the main process, and
// then sends main. Before that, the manager ignores the successor.
//
// The types conns and received and the field takesConns of hello are reserved for passing open connections.
package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

// Config holds the options of a [Process]. The function Start uses the zero value.
type Config struct {
	// Timeout is how long this process may take from Start until it calls Ready, if it has a predecessor.
	// If it takes longer, the predecessor stops waiting for it, and Ready fails. 0 means one minute.
	Timeout time.Duration

	// Check decides whether the process at the other end of the connection may take over from this one. If
	// it returns an error, that process is told the error's text, and gets no socket. Check must not read
	// from or write to the connection. It can be called by several goroutines at once. If Check is nil,
	// the process must belong to the same user or to root. On systems without [scm.PeerCred] (AIX, NetBSD,
	// OpenBSD and DragonFly BSD), Check is required.
	Check func(successor *scm.Conn) error

	// Listen, if not nil, creates the sockets that Process.Listen did not receive, for example with socket
	// options or a mode. Otherwise, Process.Listen uses scm.Listen for Unix sockets, which replaces a stale
	// file, and net.ListenConfig for others. The result must have a SyscallConn method.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// Log, if not nil, is called with errors that no method returns: why another process could not take
	// over from this one, errors that occur after a successor has begun to serve, and those of notifying
	// the service manager. It can be called by several goroutines at once.
	Log func(error)
}

// defaultTimeout is the Timeout of the zero Config.
const defaultTimeout = time.Minute

// A Process is this program in a sequence of processes that serve the same sockets. Its methods may be
// called by several goroutines at once.
type Process struct {
	config   Config
	path     string
	program  string // what Upgrade starts
	noStart  error  // why there is no program
	replaced chan struct{}
	ending   chan struct{} // closed by Close
	turn     chan struct{} // holds an element while a successor tries to take over
	isMain   chan struct{} // closed when the service manager accepts notifications of this process

	manager     *manager // nil if there is none
	predecessor *peer    // nil in the first process
	life        *os.File // ends when the predecessor dies

	mu        sync.Mutex
	control   *scm.Listener // nil in a successor before Ready
	began     bool          // Ready has been called
	ready     bool          // Ready has returned nil
	closed    bool
	upgrading bool
	resigned  bool // the service manager knows another main process
	killed    int  // the PID of a successor that Upgrade has killed
	inherited []inherited
	unused    []string // names of received sockets that were not taken by the same name
	offered   []offered
	waiting   []*peer // processes that have connected and do not have the turn
	current   *attempt
}

var (
	errClosed   = fmt.Errorf("handover: the Process is closed: %w", os.ErrClosed)
	errReplaced = errors.New("handover: a successor has replaced this process")
)

// Start is [Config.Start] with the zero Config.
func Start(ctx context.Context, path string) (*Process, error) { return Config{}.Start(ctx, path) }

// Start connects to the process that waits at path and receives its sockets. If no process waits there, this
// process is the first one, and listens at path. It replaces a stale file there, as [scm.Listen] does. Call
// Start only once in a program. The caller must close the Process.
//
// If another process takes over at the moment, or if the process at path has not called Ready yet, Start
// waits until ctx is done. The error then wraps ctx.Err(). If the predecessor does not let this process take
// over, the error says why. Other errors are those of [scm.Dial] and [scm.Listen].
//
// Start also takes the sockets that a service manager has passed (see [wire.ListenFDs]), and removes
// LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES from the environment. Process.Listen finds these sockets by the
// same names.
//
// On systems that cannot pass descriptors, such as Windows, the Process has no predecessor and is never
// replaced.
func (config Config) Start(ctx context.Context, path string) (*Process, error) {
	p := &Process{
		config:   config,
		replaced: make(chan struct{}),
		ending:   make(chan struct{}),
		turn:     make(chan struct{}, 1),
		isMain:   make(chan struct{}),
	}
	p.program, p.noStart = program()
	var err error
	if p.path, err = absolute(path); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	fds, names, err := wire.ListenFDs()
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	for i, fd := range fds {
		f, err := scm.NewFile(fd, names[i])
		if err != nil {
			scm.CloseFDs(fds[i:]...)
			p.discard()
			return nil, fmt.Errorf("handover: %w", err)
		}
		p.inherited = append(p.inherited, inherited{socket: socket{Name: names[i]}, file: f})
		p.unused = append(p.unused, names[i])
	}
	p.manager = p.dialManager(ctx)
	if err := p.connect(ctx); err != nil {
		p.manager.close()
		p.discard()
		return nil, err
	}
	return p, nil
}

// connect receives the predecessor's sockets, or listens at p.path.
func (p *Process) connect(ctx context.Context) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := p.tryConnect(ctx)
		if !errors.Is(err, errAgain) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("handover: %w, while waiting for the predecessor", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// errAgain means that the process at path has ended or been replaced before it sent its sockets, or that another first
// process listens now.
var errAgain = errors.New("handover: the process at the path has changed")

func (p *Process) tryConnect(ctx context.Context) error {
	conn, err := scm.Dial(ctx, "unix", p.path)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("handover: %w", ctx.Err())
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	case errors.Is(err, errQueueFull): // its queue is full
		return errAgain
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errRefused):
		control, err := scm.Config{Mode: controlMode}.Listen(ctx, "unix", p.path)
		if errors.Is(err, scm.ErrInUse) {
			return errAgain
		}
		if err != nil {
			return fmt.Errorf("handover: %w", err)
		}
		p.control = control
		return nil
	default:
		return fmt.Errorf("handover: %w", err)
	}
	peer := newPeer(conn)
	stop := peer.watch(ctx)
	received, err := p.receiveSockets(peer)
	stop()
	if err == nil && ctx.Err() == nil {
		p.predecessor = peer
		p.inherited = append(received, p.inherited...)
		for _, in := range received {
			if !in.isFile() && in.Name != controlName {
				p.unused = append(p.unused, in.Name)
			}
		}
		return nil
	}
	for _, in := range received {
		_ = in.file.Close()
	}
	if p.life != nil {
		_ = p.life.Close()
		p.life = nil
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("handover: %w, while waiting for the predecessor", ctx.Err())
		peer.abort(err)
	case isGone(err):
		err = errAgain
	default:
		peer.abort(err)
	}
	peer.close()
	return err
}

// receiveSockets receives the predecessor's sockets. It returns those that it has received also on error.
func (p *Process) receiveSockets(peer *peer) (received []inherited, err error) {
	timeout := p.config.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	hello := message{Type: "hello", Versions: []int{version}, Needs: timeout.Milliseconds(), Unit: os.Getenv("INVOCATION_ID")}
	if err := peer.send(hello); err != nil {
		return nil, peer.reason(err)
	}
	hasControl := false
	for more := true; more; {
		m, files, err := peer.receive("sockets")
		if err != nil {
			return received, err
		}
		if len(files) < len(m.Sockets) || m.Version != version {
			closeFiles(files)
			return received, fmt.Errorf("handover: the predecessor sent %d sockets with %d descriptors in version %d of the protocol", len(m.Sockets), len(files), m.Version)
		}
		for i, s := range m.Sockets {
			switch {
			case s.Name == lifeName && p.life == nil:
				p.life = files[i]
			default:
				hasControl = hasControl || s.Name == controlName
				received = append(received, inherited{s, files[i], true})
			}
		}
		closeFiles(files[len(m.Sockets):]) // of fields that this version does not know
		more = m.More
	}
	if p.life == nil || !hasControl {
		return received, errors.New("handover: the predecessor did not send its control socket and its pipe")
	}
	return received, nil
}

// Replaced returns a channel that is closed when a successor serves. This process should then close its
// listeners, finish what its clients have asked for, and exit with status 0.
func (p *Process) Replaced() <-chan struct{} { return p.replaced }

// Close ends this process's part in handing over. If a successor is preparing to take over, Close aborts
// the handover, and Ready fails in the successor. If the successor may already serve, Close does not wait for
// it. If this process is itself a successor that has not called Ready, its predecessor continues.
//
// Close closes the Unix socket, and removes its file unless a successor has the socket. It also closes the
// sockets and files that were received and that Listen, ListenPacket and File have not returned. The
// caller still owns the others. A second call returns nil.
func (p *Process) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.ending)
	current, began, control := p.current, p.began, p.control
	aborts := current != nil && !current.told
	if aborts {
		_ = current.peer.conn.SetDeadline(expired)
	}
	for _, peer := range p.waiting {
		_ = peer.conn.Close() // it tries again
	}
	p.mu.Unlock()

	if aborts {
		<-current.settled
	}
	if p.predecessor != nil && !began {
		p.predecessor.abort(errors.New("the successor has been closed"))
		p.predecessor.close()
	}
	var err error
	if control != nil {
		if err = control.Close(); errors.Is(err, net.ErrClosed) { // a successor has it
			err = nil
		}
	}
	if !began || control != nil {
		p.discard()
	}
	p.manager.close()
	return err
}

// onClose calls f when Close is called, unless stop has been called before.
func (p *Process) onClose(f func()) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		select {
		case <-p.ending:
			f()
		case <-stopped:
		}
	}()
	return sync.OnceFunc(func() { close(stopped) })
}

// discard closes what was received and not used.
func (p *Process) discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.inherited {
		_ = in.file.Close()
	}
	p.inherited = nil
	if p.life != nil {
		_ = p.life.Close()
	}
}

func (p *Process) log(err error) {
	if p.config.Log != nil {
		p.config.Log(err)
	}
}
