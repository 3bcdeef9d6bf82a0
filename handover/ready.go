package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/scm-rights/scm"
)

// deathTime is how long a successor waits for the end of the predecessor's pipe after the connection has ended. When a
// process dies, the kernel closes both at almost the same time.
var deathTime = 5 * time.Second // shorter in a test

// Ready tells the predecessor that this process is prepared to serve, and waits for permission. If it returns
// nil, this process may serve, and successors can take over from it. Ready closes any received sockets and
// files that Listen, ListenPacket and File have not returned. In the first process, it does not wait.
//
// If Ready returns an error, this process must exit without serving, and the predecessor continues unless it
// is ending. If the predecessor has given up, the error contains the reason. If ctx is done first, the error
// wraps ctx.Err(). It is an error to call Ready twice.
func (p *Process) Ready(ctx context.Context) (err error) {
	defer prefix(&err)
	p.mu.Lock()
	closed, readying := p.closed, p.readying
	p.readying = true
	p.mu.Unlock()
	switch {
	case closed:
		return errClosed
	case readying:
		return errors.New("Ready has been called before")
	}
	if p.predecessor == nil {
		if p.control != nil {
			if err := p.makePipe(); err != nil {
				return err
			}
		}
		if err := p.writePIDFile(); err != nil {
			return err
		}
		return p.begin(false)
	}
	control, main, err := p.takeOver(ctx)
	if err != nil {
		p.predecessor.close()
		p.discard()
		return err
	}
	p.mu.Lock()
	p.control = control
	p.mu.Unlock()
	return p.begin(main)
}

// begin starts to accept successors. If main is true, the predecessor announces this process to the service manager.
func (p *Process) begin(main bool) error {
	p.mu.Lock()
	control, closed := p.control, p.closed
	p.ready = !closed
	if !main { // until then, the predecessor may continue, and needs the files
		p.setUnlink(true)
	}
	p.mu.Unlock()
	p.discard()
	if closed { // since the file was written
		p.removePIDFile()
	}
	switch {
	case closed && p.predecessor != nil: // too late: the predecessor has been replaced
		_ = control.Close()
		p.predecessor.close()
		return nil
	case closed && control != nil:
		_ = control.Close()
		return errClosed
	case closed:
		return errClosed
	case control != nil:
		go p.accept(control)
	}
	p.logger.Info("handover: serving", "pid", os.Getpid(), "duration", time.Since(p.began))
	if main {
		go p.becomeMain(main)
	} else {
		p.becomeMain(main)
	}
	return nil
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
	defer p.onClose(cancel)()
	stop := peer.watch(ctx)
	err = peer.send(message{Type: "ready"})
	if err == nil {
		m, files, received := peer.receive("go")
		closeFiles(files)
		main, err = m.Main, received
	} else {
		err = peer.reason(err)
	}
	stop()
	ended := ctx.Err() != nil // once going has been sent, ctx no longer matters
	if err == nil && !ended {
		if err = p.writePIDFile(); err == nil {
			err = peer.send(message{Type: "going"})
		}
	}
	var aborted *abortError
	switch {
	case ended && (err == nil || !isGone(err)):
		err = p.ended(ctx)
		peer.abort(err)
	case err == nil:
		return control, main, nil
	case isGone(err):
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
	select {
	case <-p.ending:
		return errClosed
	default:
		return fmt.Errorf("%w, while waiting for the predecessor", ctx.Err())
	}
}

// controlListener takes the control socket from p.inherited.
func (p *Process) controlListener() (*scm.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.inherited, func(in inherited) bool { return in.Name == controlName })
	if i < 0 {
		return nil, errClosed
	}
	in := p.inherited[i]
	p.inherited = slices.Delete(p.inherited, i, i+1)
	defer func() { _ = in.file.Close() }()
	l, err := net.FileListener(in.file)
	if err != nil {
		return nil, err
	}
	control, err := scm.NewListener(l)
	if err != nil {
		_ = l.Close()
	}
	return control, err
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
