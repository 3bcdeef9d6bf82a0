package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// deathTime is how long a successor waits for the end of the predecessor's pipe after the connection has ended. When a
// process dies, the kernel closes both at almost the same time.
var deathTime = 5 * time.Second // shorter in a test

// connect receives the predecessor's sockets, or listens at p.path.
func (p *Process) connect(ctx context.Context) error {
	logger, reason := p.logger, errors.New("it has not called Ready, or another process is taking over")
	notice := time.AfterFunc(time.Second, func() {
		p.mu.Lock()
		err := reason
		p.mu.Unlock()
		logger.Info("handover: waiting for the process at the path", "path", p.path, "err", err)
	})
	defer notice.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := p.tryConnect(ctx)
		if !errors.Is(err, errAgain) {
			return err
		}
		p.mu.Lock()
		reason = err
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, while waiting for the predecessor", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// errAgain means that the process at path ended or was replaced before it sent its sockets, that its queue is full, or
// that another first process does not listen yet.
var errAgain = errors.New("it accepts no connection, or has just been replaced")

func (p *Process) tryConnect(ctx context.Context) error {
	p.generation = 1
	conn, err := scm.Dial(ctx, "unix", p.path)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded): // package net has a timer of its own, which can be the first
		return context.DeadlineExceeded
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	case sys.Again(err): // its queue is full
		return errAgain
	case errors.Is(err, fs.ErrNotExist), sys.Refused(err):
		control, err := scm.Config{Mode: controlMode()}.Listen(ctx, "unix", p.path)
		if errors.Is(err, sys.ErrLive) {
			return errAgain
		}
		if err != nil {
			return err
		}
		p.setControl(control)
		return nil
	default:
		return err
	}
	if err := p.checkUser(conn); err != nil {
		_ = conn.Close()
		if isGone(err) {
			err = errAgain
		}
		return err
	}
	peer := newPeer(conn)
	stop := peer.watch(ctx)
	received, err := p.receiveSockets(peer)
	stop()
	if err == nil && ctx.Err() == nil {
		p.predecessor = peer
		p.received = append(received, p.received...)
		return nil
	}
	for _, s := range received {
		_ = s.file().Close()
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%w, while waiting for the predecessor", ctx.Err())
		peer.abort(err)
	case isGone(err):
		err = errAgain
	default:
		peer.abort(err)
	}
	peer.close()
	return err
}

// checkUser returns an error unless the process that listens at p.path belongs to root or to the same user as this
// process.
func (p *Process) checkUser(conn *scm.Conn) error {
	cred, err := conn.PeerCred()
	own := os.Geteuid()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	case err != nil:
		return err
	case cred.UID == 0 || cred.UID == own:
		return nil
	}
	return fmt.Errorf("the process at %s belongs to user %d, and this one to user %d, which trusts only itself and root: a server that changes its user must call Start first", p.path, cred.UID, own)
}

// receiveSockets receives the predecessor's sockets. If it fails, it returns those received so far.
func (p *Process) receiveSockets(peer *peer) (received []passed, err error) {
	timeout := p.config.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	hello := message{Type: "hello", Versions: []int{version}, Needs: timeout.Milliseconds(), Unit: os.Getenv("INVOCATION_ID")}
	if err := peer.send(hello); err != nil {
		return nil, peer.reason(err)
	}
	for more := true; more; {
		m, files, err := peer.receiveFiles("sockets")
		if err != nil {
			return received, err
		}
		if len(files) < len(m.Sockets) || m.Version != version {
			closeFiles(files)
			return received, fmt.Errorf("the predecessor sent %d sockets with %d descriptors in version %d of the protocol", len(m.Sockets), len(files), m.Version)
		}
		for i, s := range m.Sockets {
			received = append(received, passed{socket: s, conn: files[i], fromPredecessor: true})
		}
		closeFiles(files[len(m.Sockets):]) // of fields that this version does not know
		more, p.generation = m.More, m.Generation+1
	}
	life := index(received, lifeName)
	if life < 0 || index(received, controlName) < 0 {
		return received, errors.New("the predecessor did not send its control socket and its pipe")
	}
	p.life, err = withDeadline(received[life].file())
	received[life].conn = p.life
	return received, err
}

// withDeadline replaces a pipe that has no deadlines, because the predecessor has not set O_NONBLOCK.
func withDeadline(f *os.File) (life *os.File, err error) {
	if f.SetReadDeadline(time.Time{}) == nil {
		return f, nil
	}
	defer func() { _ = f.Close() }()
	if err := scm.SetNonblock(f, true); err != nil {
		return nil, err
	}
	err = withFD(f, func(fd int) error {
		if fd, err = sys.Dup(fd, 0); err != nil {
			return os.NewSyscallError("dup", err)
		}
		if life, err = scm.NewFile(fd, lifeName); err != nil {
			scm.CloseFDs(fd)
		}
		return err
	})
	return life, err
}

// takeOver returns when this process may serve. Everything that can fail happens before it sends going, because the
// predecessor stops when it receives that message. If main is true, the predecessor announces this process to the
// service manager.
func (p *Process) takeOver(ctx context.Context) (control *scm.Listener, main bool, err error) {
	peer := p.predecessor
	if control, err = p.controlListener(); err == nil {
		if err = p.makePipe(); err != nil {
			_ = control.Close()
		}
	}
	if err != nil {
		peer.abort(err)
		return nil, false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ending, cancel)()
	stop := peer.watch(ctx)
	err = peer.send(message{Type: "ready"})
	if err == nil {
		m, received := peer.receive("go")
		main, err = m.Main, received
	} else {
		err = peer.reason(err)
	}
	stop()
	ended := ctx.Err() != nil // once going has been sent, ctx no longer matters
	gone := isGone(err)
	if err == nil && !ended {
		if err = p.writePIDFile(); err == nil {
			err = peer.send(message{Type: "going"})
			gone = isGone(err)
		}
	}
	var aborted *abortError
	switch {
	case ended && !gone:
		err = p.ended(ctx)
		peer.abort(err)
	case err == nil:
		return control, main, nil
	case gone:
		if err = p.waitForDeath(ctx); err == nil {
			p.logger.Warn("handover: the predecessor has died")
			p.rewritePIDFile()
			return control, false, nil
		}
	case errors.As(err, &aborted):
	default:
		peer.abort(err)
	}
	_ = control.Close()
	return nil, false, err
}

// ended returns the error for a call that ctx or Close has interrupted.
func (p *Process) ended(ctx context.Context) error {
	if p.isClosed() {
		return errClosed
	}
	return fmt.Errorf("%w, while waiting for the predecessor", ctx.Err())
}

// controlListener takes the control socket from p.received.
func (p *Process) controlListener() (*scm.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := index(p.received, controlName)
	if i < 0 {
		return nil, errClosed
	}
	f := p.received[i].file()
	p.received = slices.Delete(p.received, i, i+1)
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	control, err := scm.NewListener(l)
	if err != nil {
		_ = l.Close()
	}
	return control, err
}

// setControl makes this process wait for successors at a listener, which they receive in turn.
func (p *Process) setControl(control *scm.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.control = control
	// If the path was too long for the kernel, its address is another path.
	s := socket{Name: controlName, Network: "unix", Created: control.Addr().String() == p.path}
	p.offered = slices.Insert(p.offered, 0, passed{socket: s, conn: control, own: control})
}

// waitForDeath returns nil if the predecessor has died while it offered its sockets to this process.
func (p *Process) waitForDeath(ctx context.Context) error {
	err := p.life.SetReadDeadline(time.Now().Add(deathTime))
	defer context.AfterFunc(ctx, func() { _ = p.life.SetReadDeadline(expired) })()
	if err == nil {
		_, err = p.life.Read(make([]byte, 1))
	}
	switch {
	case err == io.EOF:
		return nil
	case err == nil: // a byte
		return errors.New("the predecessor has given up")
	case ctx.Err() != nil:
		return p.ended(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the predecessor has closed the connection, but has not exited")
	}
	return fmt.Errorf("wait for the predecessor's end: %w", err)
}
