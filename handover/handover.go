// Package handover lets a new version of a server take over from the running one without losing a request.
//
// A [Process] represents one running version. The first one creates its listening sockets and waits for a
// successor at a Unix socket, whose path is passed to [Start]. A successor is usually a new version of the
// same program, started with the same path. It receives the sockets from its predecessor, prepares to serve,
// and calls [Process.Ready]. When Ready returns nil, the successor starts to serve. The predecessor then
// stops accepting connections, finishes the requests that it has already accepted, and exits:
//
//	p, err := handover.Start(ctx, "/run/app/handover.sock")
//	if err != nil {
//		return err
//	}
//	defer func() { p.Fail(err) }() // before Ready, the predecessor logs err
//	l, err := p.Listen(ctx, "web", "tcp", ":8080")
//	… // everything else that can take long or fail
//	if err := p.Ready(ctx); err != nil {
//		return err // the predecessor continues
//	}
//	go serve(l)
//	<-p.Replaced()
//	… // close l, wait for the clients, and exit
//
// During the handover, the listening sockets are open in both processes. New connections wait in the queue of
// their socket, so none is refused.
//
// # Failures
//
// If the successor fails before Ready returns nil, the predecessor continues, and its clients notice nothing.
// If the predecessor dies after it has sent the sockets, the successor serves alone. At most one process at a
// time intends to keep serving. Stopping a process (SIGSTOP) between two messages may make either one wait or
// fail, but never makes both keep serving.
//
// # Who may take over
//
// A process that connects to the Unix socket and is accepted by [Config].Check receives all of the server's
// sockets. By default, only processes of the same user or of root may take over. Conversely, a successor takes
// sockets only from a process of its own user or of root. Start creates the socket file, with mode 0600 on
// Linux. Put it in a directory that only the server's user can write to.
//
// In a user namespace, such as that of a rootless container, the kernel reports every user that the namespace
// does not have as 65534. A server that runs there as user 65534 takes those users for its own. Only the mode of
// the socket file and its directory keep them out, so run the server as another user.
//
// # Service managers
//
// In a systemd unit with Type=notify or Type=notify-reload, which set NOTIFY_SOCKET, the package sends all
// the notifications that a handover requires. In the first process, Ready sends READY=1. Upgrade sends
// RELOADING=1 and starts the successor as a child of the manager. When a successor in the same unit (with the
// same INVOCATION_ID) has started to serve, the predecessor sends MAINPID and READY=1 and waits until the
// manager has processed them. Only then is it replaced, so that it can safely exit. If the successor has exited
// by then, the predecessor continues, because systemd accepts only a running process as the main process. If an
// upgrade fails, the reason becomes the status of the unit. A successor in another unit sends READY=1 itself.
//
// If FDSTORE is set, the manager keeps the sockets that Listen and ListenPacket returned before Ready was
// called. systemd 254 and later set it if FileDescriptorStoreMax= is set. If the main process is killed,
// connections then wait for the next one instead of being refused. The manager does not keep files that were
// passed to Keep.
//
// In other units, such as those with Type=simple or Type=exec, the service ends when the process that systemd
// started exits, no matter who started the successor. Upgrade therefore returns an error in that process, unless
// Config.PIDFile is set: if the unit's PIDFile= names this file, systemd reads the new main process from it when
// the old one exits. Upgrade recognizes that process by SYSTEMD_EXEC_PID, which systemd sets since version 248. With
// an older version, it cannot return this error, and the service ends after the upgrade.
//
// Errors in sending notifications are logged and have no other effect. If the manager does not read them,
// Ready, Close and a failed Upgrade each wait for at most a second. The notifications are sent later, in
// order, while the process runs. Those that still wait ten seconds after a call to Close are dropped. Without
// NOTIFY_SOCKET, the package does none of this. Supervisors such as runit, s6 and supervisord start another
// process when their child exits, which takes over from the successor. A container ends when its process 1
// exits, so that process cannot be replaced.
//
// # The protocol
//
// The Unix socket is a stream socket. A message consists of a length (4 bytes, big-endian) and a JSON object
// of at most 1 MiB. The descriptors of a message are sent with the first byte of the length. The field "type"
// is the type of the message, and "descriptors" is the number of its descriptors, at most 253. Keys are in lower
// case, except takesConns, and a receiver need not accept them in any other. It ignores fields that it does not
// know, and closes the descriptors that belong to them.
//
//	successor           predecessor
//	hello           →                 versions, needs, unit
//	                ←   sockets …     version, generation, sockets, more
//	ready           →
//	                ←   go
//	going           →
//	                ←   main
//
// In hello, versions lists the versions of the protocol that the successor supports, needs is the maximum
// time in milliseconds that it takes to become ready, and unit is its INVOCATION_ID. The predecessor chooses
// one of these versions. So far, 1 is the only one. In sockets, generation is the number of processes that have
// served, including the predecessor. Each element of sockets has a name, a network, an
// address, and created, which is true if package handover created the socket, in the predecessor or a
// process before it, so that it removes the socket's file. device and inode identify this file: each is a decimal
// number in a string. Without them, or if the path leads to another file, the file stays. The first descriptors of
// the message belong to these elements, in order. address is in base64, because a path need not be UTF-8.
// For a file that was passed to [Process.Keep], network is absent. The element
// ":control" is the Unix socket itself. The element ":life" is the read end of a pipe. If more is true,
// another message of type sockets follows.
//
// After receiving go, the successor may send going and then serve. When the predecessor receives going, it is
// replaced, unless main was set. Either process may send abort, with a reason, instead of any other message. It then
// closes the connection, and the attempt has failed.
//
// The end of the stream does not say why it ended, and an abort is lost if the buffer of the socket is full.
// Therefore each process decides as follows:
//
//   - The predecessor hands over to one successor at a time. If the stream ends before going, the successor
//     does not serve, because it sends going first. The predecessor continues.
//   - The predecessor makes the pipe ":life" for this attempt only, and no other process has its write end. If
//     the attempt fails, the predecessor writes one byte into the pipe before it aborts. The byte always fits.
//   - If the stream ends before the successor has received all sockets, the successor connects again.
//   - If the stream ends later, but before the successor has sent going, it reads from the pipe. A byte means
//     that the attempt has failed. The end of the pipe means that the predecessor died while it still offered
//     its sockets to this successor. Only then does the successor serve without go.
//
// If go has main set to true, the predecessor notifies the service manager that the successor is the main
// process, and then sends main. Until then, the manager ignores the successor, and the predecessor continues
// if the successor dies. For this reason, the successor sends its sockets to no other process until it has
// received main, or the end of the stream.
//
// The message types conns and received, and the field takesConns of hello, are reserved for passing open
// connections.
package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

// Config contains options for a [Process]. The function [Start] uses the zero Config.
type Config struct {
	// Timeout is the maximum time that this process may take until it calls Ready, from when it has received a
	// predecessor's sockets. If it takes longer, the predecessor stops waiting for it, and Ready fails. Zero or less
	// means one minute. The maximum is a day.
	Timeout time.Duration

	// Check specifies whether the process at the other end of the connection may take over from this one. If
	// it returns an error, that process receives the text of the error but no sockets. Check must not read
	// from or write to the connection. It may be called by multiple goroutines simultaneously. If Check is
	// nil, the process must belong to the same user or to root. Check cannot admit other users, because the
	// mode of the socket file keeps them out on Linux. On systems without [scm.PeerCred] (AIX and
	// DragonFly BSD), Check is required.
	Check func(successor *scm.Conn) error

	// If Listen is not nil, Process.Listen calls it to create the sockets that it has not received, for
	// example to set socket options or a file mode. Otherwise, Process.Listen uses scm.Listen for Unix
	// sockets, which replaces a stale file, and net.ListenConfig for others. The listener must have a
	// SyscallConn method. If it has a method SetUnlinkOnClose, SetUnlinkOnClose(false) is called when a successor
	// or the service manager receives the socket. From then on, no process removes the socket file, even if the
	// successor fails.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// If PIDFile is not empty, this file contains the ID of the process that serves. A successor writes it when
	// it has been allowed to serve, and before its predecessor is replaced. If that fails, the predecessor
	// continues, and writes its own ID again. The first process, and one whose predecessor has died, write it in
	// Ready. Close removes the file, unless a successor serves or may serve. The directory must be writable. If
	// its file system does not respond, this process gives up after ten seconds.
	PIDFile string

	// If Logger is not nil, it records what happens. With level Info, that is when this process waits for
	// another one, serves, hands over, and is replaced. With level Warn, that is why another process could
	// not take over, and errors that no method returns. The attribute pid is the other process, or this one
	// when it serves, and 0 if it is not known. The attribute generation counts the processes from the first
	// one, which is 1, to this one. Other attributes are duration, err, path (of a Unix socket), name, names (of
	// sockets) and manager (the service manager's address). A handler must not call Ready, Close, Fail or Upgrade.
	Logger *slog.Logger
}

// defaultTimeout is the Timeout of the zero Config.
const defaultTimeout = time.Minute

// A Process represents this program as one of a sequence of processes that serve the same sockets. Multiple
// goroutines may invoke methods on a Process simultaneously.
type Process struct {
	config     Config
	logger     *slog.Logger
	began      time.Time
	path       string
	program    string   // which Upgrade starts
	manager    *manager // or nil
	generation int      // 1 in the first process
	replaced   chan struct{}
	ending     context.Context // done when the state is closed
	end        context.CancelFunc

	mu         sync.Mutex
	state      state
	succession succession // zero once Ready has returned nil
	server     server

	pidFile sync.Mutex // held while a goroutine writes or removes Config.PIDFile
}

// prefix adds the name of the package to the error that an exported function returns.
func prefix(err *error) {
	if *err != nil {
		*err = fmt.Errorf("handover: %w", *err)
	}
}

// Start calls [Config.Start] with the zero Config.
func Start(ctx context.Context, path string) (*Process, error) { return Config{}.Start(ctx, path) }

// Start connects to the process that listens at path and receives its sockets. If no process listens there,
// this process is the first one, and Start listens at path, replacing a stale socket file as [scm.Listen]
// does. Call Start only once in a program. A test may start several Processes, which take over from each
// other. The caller must close the Process.
//
// If another process is taking over, or if the process at path has not called Ready yet, Start waits, and
// logs once what it waits for. If ctx is done first, the error wraps ctx.Err(). Start does not wait if path
// cannot be used, for example because it is a regular file, but returns the error of [scm.Dial] or
// [scm.Listen]. If path is an abstract name, such as "@name", which has no mode to keep other users out,
// the error wraps [os.ErrInvalid]. If the predecessor rejects this process, the error contains the reason.
// A process that has received the sockets keeps them until its call to Ready returns, even if its
// predecessor has given up. Other processes wait for it.
//
// Before it sends anything, Start asks the kernel which user called listen(2) at path. That must be root or the
// effective user of this process. Otherwise, Start returns an error at once, because another user could pass
// sockets of its own. A server that calls Start as root and then changes its user counts as root. One that
// changes its user first counts as that user, so root cannot take over from it. On systems without
// [scm.PeerCred], Start does not check the user, and the directory of path must keep other users out.
//
// Start also takes the sockets passed by a service manager (see [wire.ListenFDs]), and removes LISTEN_FDS,
// LISTEN_PID and LISTEN_FDNAMES from the environment. Process.Listen finds these sockets by their
// addresses.
//
// On Unix systems, Start calls [os/signal.Notify] for SIGPIPE, unless the program ignores this signal. A line of
// the log then does not end this process if nothing reads its standard output or standard error any more. A
// supervisor may close these pipes when the process that it started exits, and successors inherit them.
//
// On systems that cannot pass descriptors, such as Windows, the Process has no predecessor and is never
// replaced.
func (config Config) Start(ctx context.Context, path string) (p *Process, err error) {
	defer prefix(&err)
	catchSIGPIPE()
	p = &Process{
		config:   config,
		logger:   config.Logger,
		began:    time.Now(),
		replaced: make(chan struct{}),
		state:    preparing,
		server:   server{turn: make(chan struct{}, 1), isMain: make(chan struct{})},
	}
	p.ending, p.end = context.WithCancel(context.Background())
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	p.program, _ = program()
	if p.path, err = absolute(path, true); err == nil && config.PIDFile != "" {
		p.config.PIDFile, err = absolute(config.PIDFile, false)
	}
	if err == nil && !filepath.IsAbs(p.path) {
		err = fmt.Errorf("%q is not the path of a file, whose mode keeps other users out: %w", path, os.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	fds, names, err := wire.ListenFDs()
	if err != nil {
		return nil, err
	}
	for i, fd := range fds {
		var f *os.File
		if f, err = scm.NewFile(fd, names[i]); err != nil {
			scm.CloseFDs(fds[i:]...)
			break
		}
		p.succession.inherited = append(p.succession.inherited, &inherited{socket: socket{Name: names[i]}, file: f})
	}
	if err == nil {
		err = p.connect(ctx)
	}
	if err != nil {
		p.succession.release()
		return nil, err
	}
	p.logger = p.logger.With("generation", p.generation)
	p.manager = p.dialManager(ctx)
	return p, nil
}

// First reports whether this process is the first one, which had no predecessor.
func (p *Process) First() bool { return p.generation == 1 }

// Replaced returns a channel that is closed when a successor serves, and the service manager, if any, knows it. This
// process should then close its listeners, finish serving its clients, and exit with status 0.
func (p *Process) Replaced() <-chan struct{} { return p.replaced }

// Ready tells the predecessor that this process is prepared to serve, and waits for permission. If it returns
// nil, this process may serve, and successors can take over from it. Ready closes any received sockets and
// files that Listen, ListenPacket and File have not returned. In the first process, it waits only for the
// service manager.
//
// If Ready returns an error, this process must exit without serving, and the predecessor continues unless it
// is ending. If the predecessor has given up, the error contains the reason. If ctx is done first, the error
// wraps ctx.Err(). After an error, this Process is closed, as after Close. It is an error to call Ready twice.
func (p *Process) Ready(ctx context.Context) (err error) {
	defer prefix(&err)
	p.mu.Lock()
	_, err = p.on(callReady)
	predecessor := p.succession.predecessor
	p.mu.Unlock()
	if err != nil {
		return err
	}
	main, err := p.takeOver(ctx, predecessor)
	if err != nil {
		_ = p.close(gotFailure, nil)
		predecessor.close()
		return err
	}
	p.mu.Lock()
	control, received := p.server.control, p.succession
	p.succession = succession{}
	p.mu.Unlock()
	if closed := received.release(); len(closed) > 0 {
		p.logger.Warn("handover: closed received sockets that Listen, ListenPacket and File have not returned", "names", closed)
	}
	p.logger.Info("handover: serving", "pid", os.Getpid(), "duration", time.Since(p.began))
	if control != nil {
		go p.accept(control)
	}
	if main {
		go p.becomeMain(predecessor, received.unused)
		return nil
	}
	predecessor.close()
	p.becomeMain(nil, received.unused)
	p.manager.wait(ctx)
	return nil
}

// Close ends this process's part in handovers. If a successor is preparing to take over, Close aborts the
// handover, and Ready fails in the successor. If Upgrade has started the successor, it kills the process and
// returns. If the successor may already be serving, Close does not wait for it. If this process is itself a
// successor that has not called Ready, its predecessor continues. Close waits for at most ten seconds until
// Config.PIDFile has been written or removed. Errors of later calls of other methods wrap [os.ErrClosed].
//
// Close closes the Unix socket, and removes its file unless a successor has the socket. It also closes any
// received sockets and files that Listen, ListenPacket and File have not returned. The caller still owns the
// others. Further calls return nil.
func (p *Process) Close() error {
	return p.close(callClose, errors.New("the successor has been closed"))
}

// Fail closes the Process, and reports to the predecessor why this process cannot take over: err. The
// predecessor logs err, and Upgrade returns it there. After Ready has been called, or if err is nil, Fail only
// closes the Process.
func (p *Process) Fail(err error) {
	if err == nil {
		_ = p.Close()
	} else {
		_ = p.close(callClose, err)
	}
}

// isClosed reports whether the state is closed.
func (p *Process) isClosed() bool { return p.ending.Err() != nil }

// close implements Close. The reason is for the predecessor.
func (p *Process) close(e event, reason error) error {
	p.mu.Lock()
	s, received := &p.server, p.succession
	from, _ := p.on(e)
	if from == closed {
		p.mu.Unlock()
		return nil
	}
	p.end()
	p.succession = succession{}
	closeFiles(s.pipe[:])
	s.pipe = [2]*os.File{}
	attempt, control, upgrade := s.attempt, s.control, s.upgrading
	if from == handing {
		_ = attempt.peer.conn.SetDeadline(expired)
	}
	s.disconnect(len(s.waiting))
	p.mu.Unlock()

	if from == asking {
		select {
		case s.turn <- struct{}{}: // Ready is not writing the PID file, or has removed it
			<-s.turn
		case <-time.After(writeTime):
		}
	}
	if attempt != nil && from != told {
		<-attempt.settled
	}
	if upgrade != nil && from != told {
		<-upgrade // a successor that has not connected yet must not find the path free, and become the first process
	}
	if from == serving || from == handing {
		p.removePIDFile() // before another first process can write it
	}
	if from == preparing && received.predecessor != nil {
		received.predecessor.abort(reason)
		received.predecessor.close()
	}
	var err error
	if control != nil {
		if err = control.Close(); errors.Is(err, net.ErrClosed) { // a successor has it
			err = nil
		}
	}
	received.release()
	p.manager.close()
	return err
}
