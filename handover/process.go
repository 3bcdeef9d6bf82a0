package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

// A Process represents this program as one of a sequence of processes that serve the same sockets. Multiple
// goroutines may invoke methods on a Process simultaneously.
type Process struct {
	config     Config
	logger     *slog.Logger
	began      time.Time
	path       string
	executable string   // which Upgrade starts
	notPassed  error    // why the service manager's sockets are not for this process, or nil
	manager    *manager // or nil
	pidFile    pidFile
	generation int        // 1 in the first process
	machine               // its mu protects the rest
	succession succession // zero once Ready has returned nil
	server     server
}

// Start calls [Config.Start] with the zero Config.
func Start(ctx context.Context, path string) (*Process, error) { return Config{}.Start(ctx, path) }

// Start connects to the process that listens at path and receives its sockets. If no process listens there,
// this process is the first one, and Start listens at path, replacing a stale socket file as [scm.Listen]
// does. Call Start only once in a program. A test may start several Processes, which take over from each
// other. The caller must close the Process.
//
// If another process is taking over, or if the process at path has not called Ready yet, Start waits, and logs once
// what it waits for. If ctx is done first, the error wraps ctx.Err(). Start does not wait if path cannot be used, for
// example because it is a regular file, but returns the error of [scm.Dial] or [scm.Listen]. If path is an abstract
// name, such as "@name", which has no mode to keep other users out, or if Config.Unix.Mode contains anything but
// permissions, the error wraps [os.ErrInvalid]. If the predecessor rejects this process, the error contains the reason.
// A process that has received the sockets keeps them until its call to Ready returns, even if its predecessor has given
// up. If the predecessor has ended, other processes wait until that call returns.
//
// Before it sends anything, Start asks the kernel which user called listen(2) at path. That must be root or the
// effective user of this process. Otherwise, Start returns an error at once, because another user could pass
// sockets of its own. A server that calls Start as root and then changes its user counts as root. One that
// changes its user first counts as that user, so root cannot take over from it. On systems without
// [scm.PeerCred], Start does not check the user, and the directory of path must keep other users out.
//
// Start also takes the sockets passed by a service manager (see [wire.ListenFDs]), and removes LISTEN_FDS, LISTEN_PID
// and LISTEN_FDNAMES from the environment. Process.Listen finds these sockets by their addresses. If LISTEN_PID names
// another process, such as a shell or an init that started this one, Start takes no sockets. If Listen then fails
// because the address is in use, its error gives this reason.
//
// On Unix systems, Start calls [os/signal.Notify] for SIGPIPE, unless the program ignores this signal. Without this, a
// line of the log would end this process if nothing reads its standard output or standard error. A supervisor may close
// these pipes when the process that it started exits, and successors inherit them.
//
// On systems that cannot pass descriptors, such as Windows, the Process has no predecessor and is never
// replaced.
func (config Config) Start(ctx context.Context, path string) (p *Process, err error) {
	defer prefix(&err)
	catchSIGPIPE()
	p = &Process{
		config:  config,
		logger:  config.Logger,
		began:   time.Now(),
		machine: newMachine(preparing),
		server:  server{turn: make(chan struct{}, 1), isMain: make(chan struct{})},
	}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	p.executable, _ = program()
	if p.path, err = absolute(path, true); err == nil && config.PIDFile != "" {
		p.pidFile.path, err = absolute(config.PIDFile, false)
	}
	if mode := config.Unix.Mode; err == nil && mode&^fs.ModePerm != 0 {
		err = fmt.Errorf("Config.Unix.Mode is %#o, but must contain only permissions (0777): %w", mode, os.ErrInvalid)
	}
	if err == nil && !filepath.IsAbs(p.path) {
		err = fmt.Errorf("%q is not the path of a file, whose mode keeps other users out: %w", path, os.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	if pid, set := os.LookupEnv("LISTEN_PID"); set && pid != strconv.Itoa(os.Getpid()) {
		p.notPassed = fmt.Errorf("LISTEN_PID is %s, but this process is %d", pid, os.Getpid())
		p.logger.Debug("handover: took no sockets from the service manager", "err", p.notPassed)
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
	p.pidFile.logger, p.manager = p.logger, dialManager(ctx, p.logger)
	return p, nil
}

// First reports whether this process is the first one, which had no predecessor.
func (p *Process) First() bool { return p.generation == 1 }

// Replaced returns a channel that is closed when a successor serves, and the service manager, if any, knows it. This
// process should then close its listeners, finish serving its clients, and exit with status 0.
func (p *Process) Replaced() <-chan struct{} { return p.replaced }

// Ready tells the predecessor that this process is prepared to serve, and waits for permission. If it returns
// nil, this process may serve, and successors can take over from it. Ready closes any received sockets and
// files that Listen, ListenPacket and File have not returned. In the first process, it waits only for
// Config.PIDFile and the service manager.
//
// If Ready returns an error, this process must exit without serving, and the predecessor continues unless it
// is ending. If the predecessor has given up, the error contains the reason. If ctx is done first, the error
// wraps ctx.Err(), but while Ready waits for the service manager, it returns nil. After an error, this Process is
// closed, as after Close, except that a second call of Ready returns an error and changes nothing.
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
	control, received, used := p.server.control, p.succession, slices.Clone(p.server.offered)
	p.succession = succession{}
	p.mu.Unlock()
	closed, addresses := received.leftOver(used)
	received.release()
	if len(closed) > 0 {
		p.logger.Warn("handover: closed received sockets or files that Listen, ListenPacket and File have not returned", "names", closed, "addresses", addresses)
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

// Close ends this process's participation in handovers. If a successor is preparing to take over, Close aborts the
// handover, and Ready fails in the successor. If Upgrade has started the successor, it kills the process and returns.
// If the successor may already be serving, Close does not wait for it. If this process is itself a successor that has
// not called Ready, its predecessor continues. Close waits for at most ten seconds until Config.PIDFile has been
// written or removed. Errors of later calls of other methods wrap [os.ErrClosed], unless ctx is done or an argument is
// invalid.
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

// close implements Close. The reason is for the predecessor.
func (p *Process) close(e event, reason error) error {
	p.mu.Lock()
	from, _ := p.on(e)
	if from&(leaving|closed) != 0 {
		p.mu.Unlock()
		return nil
	}
	s, received := &p.server, p.succession
	p.succession = succession{}
	closeFiles(s.pipe[:])
	s.pipe = [2]*os.File{}
	attempt, upgrade := s.attempt, s.upgrade
	if from == handing {
		_ = attempt.peer.conn.SetDeadline(expired)
	}
	s.disconnect(len(s.waiting))
	p.mu.Unlock()

	switch from {
	case preparing:
		received.predecessor.abort(reason)
		received.predecessor.close()
	case asking:
		select {
		case s.turn <- struct{}{}: // Ready is not writing the PID file, or has removed it
			<-s.turn
		case <-time.After(writeTime):
		}
	case serving, handing:
		attempt.wait()
		// A successor that has not connected yet must not find the path free, and become the first process.
		upgrade.wait()
		p.pidFile.remove() // before another first process can write it
	case told: // the successor may serve, and has the files
	case replaced:
		upgrade.wait()
	}
	var err error
	if s.control != nil {
		if err = s.control.Close(); errors.Is(err, net.ErrClosed) { // a successor has it
			err = nil
		}
	}
	received.release()
	p.manager.close()
	return err
}
