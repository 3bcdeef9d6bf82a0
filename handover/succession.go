package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// deathTime is how long a successor waits for the end of the predecessor's pipe after the connection has ended. When a
// process dies, the kernel closes both at almost the same time.
var deathTime = 5 * time.Second // shorter in a test

// A succession is what a process has from Start until Ready.
type succession struct {
	predecessor *peer    // nil in the first process
	control     *os.File // the predecessor's Unix socket
	controlID   sys.FileID
	life        *os.File // a pipe that shows how the predecessor's attempt ends
	inherited   []*inherited
	unused      []string // names of sockets that this process has not used, or uses under another name
}

// take removes the first socket or file for which is returns true, and returns its file, or nil.
func (s *succession) take(is func(*inherited) bool) (f *os.File) {
	if i := slices.IndexFunc(s.inherited, is); i >= 0 {
		f = s.inherited[i].file
		s.inherited = slices.Delete(s.inherited, i, i+1)
	}
	return f
}

// leftOver returns the names of the sockets that have not been used, and of the service manager's files, and their
// networks and addresses. It omits duplicates of sockets in use: the service manager may have passed a socket of a unit
// from its store, too.
func (s *succession) leftOver(used []offered) (names, addresses []string) {
	for _, in := range s.inherited {
		if in.isFile() || slices.ContainsFunc(used, func(o offered) bool { return sameSocket(o.conn, in.file) }) {
			continue
		}
		at := "unknown" // package net does not know AF_VSOCK, for example
		if bound, _ := in.bound(); bound != nil {
			at = bound.Network() + " " + bound.String()
		} else if is, err := isSocket(in.file); !is && err == nil {
			at = "not a socket"
		}
		names, addresses = append(names, in.Name), append(addresses, at)
	}
	return names, addresses
}

// release closes what has not been used. The Process's mu must not be held, because a file system may not respond.
func (s *succession) release() {
	_, _ = s.control.Close(), s.life.Close()
	for _, in := range s.inherited {
		if !in.isFile() {
			s.unused = append(s.unused, in.Name)
		}
		_ = in.file.Close()
	}
	s.inherited = nil
}

// connect receives the predecessor's sockets, or listens at p.path.
func (p *Process) connect(ctx context.Context) error {
	var again atomic.Bool
	notice := time.AfterFunc(time.Second, func() {
		err := errors.New("it has not called Ready, or another process is taking over")
		if again.Load() {
			err = errAgain
		}
		p.logger.Info("handover: waiting for the process at the path", "path", p.path, "err", err)
	})
	defer notice.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := p.tryConnect(ctx)
		if !errors.Is(err, errAgain) {
			return err
		}
		again.Store(true)
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
	case sys.Lacks(err):
		return nil
	case sys.Again(err): // its queue is full
		return errAgain
	case errors.Is(err, fs.ErrNotExist), sys.Refused(err):
		control, err := scm.Config{Mode: controlMode()}.Listen(ctx, "unix", p.path)
		if errors.Is(err, sys.ErrLive) {
			return errAgain
		}
		if err == nil {
			p.server.listen(control, sys.FileIDOf(os.Lstat(p.path)))
		}
		return err
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
		received.inherited = append(received.inherited, p.succession.inherited...)
		p.succession = received
		return nil
	}
	received.release()
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
	case sys.Lacks(err):
		return nil
	case err != nil:
		return err
	case cred.UID == 0 || cred.UID == own:
		return nil
	}
	return fmt.Errorf("the process at %s belongs to user %d, but only user %d and root are trusted here: if the server changes its user, call Start first", p.path, cred.UID, own)
}

// receiveSockets receives the predecessor's sockets. If it fails, it returns those received so far.
func (p *Process) receiveSockets(peer *peer) (received succession, err error) {
	received.predecessor = peer
	timeout := p.config.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	hello := message{Type: "hello", Versions: []int{version}, Needs: max(1, timeout.Milliseconds()), Unit: os.Getenv("INVOCATION_ID")}
	if err := peer.send(hello); err != nil {
		return received, peer.reason(err)
	}
	for more := true; more; {
		m, files, err := peer.receiveFiles("sockets")
		if err != nil {
			return received, err
		}
		switch {
		case m.Version != version:
			err = fmt.Errorf("the predecessor uses version %d of the protocol, but this process supports only %d", m.Version, version)
		case len(files) < len(m.Sockets):
			err = fmt.Errorf("the predecessor sent %d sockets, but only %d descriptors", len(m.Sockets), len(files))
		}
		if err != nil {
			closeFiles(files)
			return received, err
		}
		for i, s := range m.Sockets {
			if s.Name == controlName {
				received.controlID = s.FileID
			}
			received.inherited = append(received.inherited, &inherited{socket: s, file: files[i], passed: true})
		}
		closeFiles(files[len(m.Sockets):]) // of fields that this version does not know
		more, p.generation = m.More, max(m.Generation, 1)+1
	}
	received.control = received.take(func(in *inherited) bool { return in.Name == controlName })
	received.life = received.take(func(in *inherited) bool { return in.Name == lifeName })
	if received.control == nil || received.life == nil {
		err = errors.New("the predecessor did not send its control socket and its pipe")
	}
	return received, err
}

// An outcome is how the conversation with the predecessor has ended.
type outcome int

const (
	confirmed outcome = iota // the predecessor allows this process to serve, and stops when it reads going
	rejected                 // the predecessor has given up, and said so
	withdrawn                // this process cannot serve, and the predecessor does not know that yet
	garbled                  // the predecessor has sent a message other than go, and may have died
	lost                     // the connection has ended: the predecessor has died, or it continues
)

// errGone is the error of a conversation whose outcome is lost.
var errGone = errors.New("the predecessor has closed the connection")

// outcomeOf returns the outcome of a conversation that has ended with err.
func outcomeOf(err error) outcome {
	var abort *abortError
	switch {
	case err == nil:
		return confirmed
	case errors.Is(err, errGone):
		return lost
	case errors.As(err, &abort):
		return rejected
	case errors.As(err, new(messageError)):
		return garbled
	}
	return withdrawn
}

// takeOver returns when this process may serve, and enters that state. Everything that can fail happens before it sends
// going, because the predecessor stops when it receives that message. main reports whether the predecessor announces
// this process to the service manager. predecessor is nil in the first process.
func (p *Process) takeOver(ctx context.Context, predecessor *peer) (main bool, err error) {
	life, err := p.takeControl()
	if predecessor == nil {
		if err == nil {
			err = p.begin(ctx, gotAnswer, false, nil)
		}
		return false, err
	}
	if err == nil {
		main, err = p.ask(ctx, predecessor)
	}
	if err == nil {
		err = p.confirm(ctx, predecessor, main)
	}
	switch outcomeOf(err) {
	case confirmed:
		return main, nil
	case withdrawn:
		predecessor.abort(err)
	case garbled:
		predecessor.abort(err) // if it is alive, it says in the pipe that it continues
		if p.resolve(ctx, life) == nil {
			err = nil
		}
	case lost:
		err = p.resolve(ctx, life)
	}
	return false, err
}

// takeControl makes the Unix socket that this process has received its own, and returns the pipe of the predecessor. It
// also makes a pipe for the first attempt.
func (p *Process) takeControl() (life *os.File, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() {
		return nil, errClosed
	}
	s := &p.succession
	if s.predecessor != nil {
		l, err := open(s.control, socket{Network: "unix", Address: []byte(p.path), Created: true, FileID: s.controlID}, false, scm.Config{}, true)
		if err != nil {
			return nil, err
		}
		control, ok := l.(*scm.Listener)
		if !ok {
			_ = l.Close()
			return nil, scm.ErrNotUnix
		}
		p.server.listen(control, s.controlID)
		p.server.setUnlink(false) // until this process serves, the predecessor needs the files
	}
	if p.server.control != nil {
		err = p.server.makePipe()
	}
	return s.life, err
}

// ask sends ready and waits for go. main is that of takeOver.
func (p *Process) ask(ctx context.Context, predecessor *peer) (main bool, err error) {
	untilClose, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ending, cancel)()
	stop := predecessor.watch(untilClose)
	var m message
	if err = predecessor.send(message{Type: "ready"}); err == nil {
		m, err = predecessor.receive("go")
	} else {
		err = predecessor.reason(err)
	}
	stop()
	switch {
	case isGone(err):
		err = errGone
	case untilClose.Err() != nil: // once going has been sent, ctx no longer matters
		err = p.interrupted(ctx)
	}
	return m.Main, err
}

// confirm sends going, and makes this process serve.
func (p *Process) confirm(ctx context.Context, predecessor *peer, main bool) error {
	return p.begin(ctx, gotAnswer, main, func() error {
		err := predecessor.send(message{Type: "going"})
		if isGone(err) {
			err = errGone
		}
		return err
	})
}

// resolve makes this process serve if the predecessor has died while it offered its sockets to this process.
func (p *Process) resolve(ctx context.Context, life *os.File) error {
	read := make(chan error, 1)
	go func() { // because a predecessor in another language may not have set O_NONBLOCK, and then Read has no deadline
		_, err := life.Read(make([]byte, 1))
		read <- err
	}()
	var err error
	select {
	case err = <-read:
	case <-ctx.Done():
		return p.interrupted(ctx)
	case <-p.ending.Done():
		return errClosed
	case <-time.After(deathTime):
		ended := false
		_ = withFD(life, func(fd int) error { ended = sys.Readable(int32(fd)); return nil })
		if !ended {
			return errors.New("the predecessor has closed the connection, but has not exited")
		}
		err = <-read // this process was stopped, and then the timer fired before the goroutine had read
	}
	if err == nil { // a byte
		return errors.New("the predecessor has given up")
	}
	if err != io.EOF {
		return fmt.Errorf("wait for the predecessor's end: %w", err)
	}
	p.logger.Warn("handover: the predecessor has died")
	return p.begin(ctx, peerDied, false, nil)
}

// begin writes the PID file and makes this process serve, unless Close has been called. last is a step that must not
// run after Close. If it fails, this process does not serve, and begin removes the file.
func (p *Process) begin(ctx context.Context, e event, main bool, last func() error) error {
	turn := p.server.turn // Close waits for it
	turn <- struct{}{}
	defer func() { <-turn }()
	if p.isClosed() {
		return errClosed
	}
	err := p.pidFile.write(ctx) // mu is not held, because the file system may not respond
	written := err == nil
	if e == peerDied {
		p.pidFile.log(err)
		err = nil
	}
	p.mu.Lock()
	if p.isClosed() {
		err = errClosed
	}
	if err == nil && last != nil {
		err = last()
	}
	if err == nil {
		_, err = p.on(e)
	}
	if err == nil && !main { // until then, the predecessor may continue, and needs the files
		p.server.setUnlink(true)
	}
	p.mu.Unlock()
	if err != nil && written {
		p.pidFile.remove()
	}
	if err == nil && !main {
		p.rejectFiles()
	}
	return err
}

// rejectFiles sets the option of Config.Unix.NoFiles in the received sockets. While the predecessor may still continue,
// its clients would notice that.
func (p *Process) rejectFiles() {
	p.mu.Lock()
	all := slices.Clone(p.server.offered)
	p.mu.Unlock()
	for _, o := range all {
		if !o.noFiles {
			continue
		}
		err := withFD(o.conn, func(fd int) error { return scm.PassRights(fd, false) })
		if err != nil && !errors.Is(err, os.ErrClosed) {
			p.logger.Warn("handover: cannot make the kernel reject descriptors", "name", o.Name, "err", err)
		}
	}
}

// interrupted returns the error for a call that ctx or Close has interrupted.
func (p *Process) interrupted(ctx context.Context) error {
	if p.isClosed() {
		return errClosed
	}
	return fmt.Errorf("%w, while waiting for the predecessor", ctx.Err())
}

// becomeMain completes the work of Ready. Its errors no longer matter to the predecessor. If the predecessor announces
// this process to the manager, it sends main afterwards; until then, the manager ignores this process. Otherwise,
// predecessor is nil.
func (p *Process) becomeMain(predecessor *peer, unused []string) {
	defer close(p.server.isMain)
	if predecessor != nil {
		stop := context.AfterFunc(p.ending, func() { _ = predecessor.conn.Close() })
		_, _ = predecessor.receive("main")
		stop()
		predecessor.close()
	}
	var kept []offered
	stores := p.manager != nil && os.Getenv("FDSTORE") != ""
	p.mu.Lock()
	_, err := p.on(gotMain)
	announced := err == nil && predecessor != nil
	if announced {
		p.server.setUnlink(true)
	}
	if stores {
		kept = p.server.keep()
	}
	p.mu.Unlock()
	if announced {
		p.rejectFiles()
	}
	if predecessor == nil {
		p.manager.ready()
	}
	if stores {
		p.manager.store(kept, unused)
	}
}
