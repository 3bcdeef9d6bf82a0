package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
)

// maxWaiting limits the number of processes that have connected and wait for their turn. When one more process
// connects, the one that has waited longest is disconnected. An honest process then tries again.
const maxWaiting = 64

// An attempt is an attempt to hand over to one successor.
type attempt struct {
	peer    *peer
	pid     int           // 0 if unknown
	pidfd   int           // -1 if there is none
	life    [2]*os.File   // a pipe that shows the successor how the attempt ends
	main    bool          // this process announces the successor to the service manager as the main process
	told    bool          // go may have been sent, so the successor may serve
	settled chan struct{} // closed when the attempt has succeeded or failed
}

// A failure records why a process did not take over.
type failure struct {
	pid int
	why error
}

// hasTold reports whether the process pid may serve. a can be nil.
func (a *attempt) hasTold(pid int) bool { return a != nil && a.told && (a.pid == pid || a.pid == 0) }

// accept accepts successors until one has taken over.
func (p *Process) accept(control *scm.Listener) {
	for failing := false; ; {
		conn, err := control.AcceptConn()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !failing {
				p.logger.Warn("handover: cannot accept a successor", "err", err)
			}
			failing = true
			sleep(50 * time.Millisecond) // EMFILE, for example
			continue
		}
		failing = false
		peer := newPeer(conn)
		if !p.enqueue(peer) {
			peer.close()
			return
		}
		go func() {
			defer peer.close()
			defer p.dequeue(peer)
			p.serve(peer)
		}()
	}
}

var sleep = time.Sleep // another function in a test

// enqueue adds a process to p.waiting.
func (p *Process) enqueue(peer *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() {
		return false
	}
	if len(p.waiting) == maxWaiting {
		p.disconnect(1)
	}
	p.waiting = append(p.waiting, peer)
	return true
}

// disconnect disconnects the n processes that have waited longest. They try again. p.mu must be held.
func (p *Process) disconnect(n int) {
	for _, peer := range p.waiting[:n] {
		_ = peer.conn.Close()
		close(peer.disconnected)
	}
	p.waiting = slices.Delete(p.waiting, 0, n)
}

// dequeue removes a process from p.waiting, and reports whether it was there.
func (p *Process) dequeue(peer *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, peer)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	return i >= 0
}

// serve hands over to a process, if it is allowed to take over.
func (p *Process) serve(peer *peer) {
	reject := func(why string, err error) {
		if p.dequeue(peer) { // otherwise, disconnecting it is the reason for err
			p.logger.Warn("handover: "+why, "pid", peer.pid(), "err", err)
		}
		peer.abort(err)
	}
	check := p.config.Check
	if check == nil {
		check = sameUser
	}
	if err := check(peer.conn); err != nil {
		reject("rejected a successor", err)
		return
	}
	_ = peer.conn.SetReadDeadline(time.Now().Add(helloTime))
	hello, err := peer.receive("hello")
	if err == nil && !slices.Contains(hello.Versions, version) {
		err = fmt.Errorf("the successor supports the versions %d of the protocol, but this process requires %d", hello.Versions, version)
	}
	if err != nil {
		reject("a process connected, but did not take over", err)
		return
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-p.replaced:
		return // the successor tries again, and reaches the process that now listens
	case <-p.ending.Done():
		return
	case <-peer.disconnected:
		return
	}
	if p.dequeue(peer) { // otherwise it has been disconnected
		p.handOver(peer, hello)
	}
}

// sameUser accepts processes of the same user and of root.
func sameUser(successor *scm.Conn) error {
	cred, err := successor.PeerCred()
	if err != nil {
		return err
	}
	if cred.UID != os.Geteuid() && cred.UID != 0 {
		return fmt.Errorf("user %d may not take over from user %d", cred.UID, os.Geteuid())
	}
	return nil
}

// handOver returns when this process has been replaced, or continues because the attempt has failed.
func (p *Process) handOver(peer *peer, hello message) {
	a := &attempt{peer: peer, pid: peer.pid(), pidfd: -1, settled: make(chan struct{})}
	began := time.Now()
	if p.manager != nil {
		a.pidfd = openPIDFD(peer.conn, a.pid)
		defer scm.CloseFDs(a.pidfd)
	}
	p.mu.Lock()
	if p.isClosed() || p.isReplaced() {
		p.mu.Unlock()
		return
	}
	p.current = a
	p.mu.Unlock()

	p.logger.Info("handover: handing over", "pid", a.pid)
	err := p.converse(a, hello)
	if err != nil {
		if p.isClosed() {
			err = errors.New("the predecessor is ending")
		}
		// A byte in the pipe says that this process lives, even if the message does not fit into the socket's buffer.
		_, _ = a.life[1].Write([]byte{0})
		a.peer.abort(err)
	}
	closeFiles(a.life[:])
	if err != nil {
		_ = p.makePipe() // or the next attempt does
	}
	if err == nil && a.main {
		err = p.manager.setMain(p.ending, a)
	}
	if err == nil && a.main {
		_ = a.peer.conn.SetDeadline(time.Now().Add(writeTime))
		if err := a.peer.send(message{Type: "main"}); err != nil && !isGone(err) {
			p.logger.Warn("handover: cannot tell the successor that it is the main process", "pid", a.pid, "err", err)
		}
	}
	if err != nil && a.told && !p.isClosed() {
		p.rewritePIDFile() // the successor may have written it
	}

	if err == nil {
		p.logger.Info("handover: replaced", "pid", a.pid, "duration", time.Since(began))
	} else {
		p.logger.Warn("handover: a successor did not take over", "pid", a.pid, "duration", time.Since(began), "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(a.settled)
	p.current = nil
	if err == nil {
		p.resigned = a.main
		_ = p.control.Close()
		p.disconnect(len(p.waiting))
		close(p.replaced)
		return
	}
	if !p.isClosed() {
		p.setUnlink(true)
	}
	if !isGone(err) { // then only Wait knows why the process has exited
		p.failed = failure{a.pid, err}
	}
}

// setUnlink sets whether closing the sockets removes their files. p.mu must be held.
func (p *Process) setUnlink(on bool) {
	for _, s := range p.offered {
		s.unlink(on)
	}
}

// converse sends the sockets. It returns nil when it has received going from the successor.
func (p *Process) converse(a *attempt, hello message) error {
	// Until then, the manager ignores this process. If it died, its predecessor would continue, and a successor that
	// had the sockets would serve too.
	select {
	case <-p.isMain:
	case <-p.ending.Done():
	}
	if err := p.takePipe(a); err != nil {
		return err
	}
	if err := p.sendSockets(a); err != nil {
		return err
	}
	needs := time.Duration(min(max(hello.Needs, 0), int64(maxNeeds/time.Millisecond))) * time.Millisecond
	if err := p.deadline(a, needs); err != nil {
		return err
	}
	_, err := a.peer.receive("ready")
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the successor was not ready after %v", needs)
	case err != nil:
		return err
	}
	if err := p.tell(a); err != nil {
		return err
	}
	a.main = p.manager.supervises(a, hello)
	if err := a.peer.send(message{Type: "go", Main: a.main}); err != nil {
		return err
	}
	// Only the end of the connection proves that the successor is not serving. A deadline could expire while it is.
	_ = a.peer.conn.SetDeadline(time.Time{})
	_, err = a.peer.receive("going")
	return err
}

var newPipe = os.Pipe // another function in a test

// makePipe makes the pipe of the next attempt in advance, because this process may lack descriptors when a successor
// comes.
func (p *Process) makePipe() error {
	r, w, err := newPipe()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() {
		_, _ = r.Close(), w.Close()
		return errClosed
	}
	p.pipe = [2]*os.File{r, w}
	return nil
}

// takePipe sets the pipe of an attempt.
func (p *Process) takePipe(a *attempt) (err error) {
	p.mu.Lock()
	a.life, p.pipe = p.pipe, [2]*os.File{}
	p.mu.Unlock()
	if a.life[0] == nil {
		a.life[0], a.life[1], err = newPipe()
	}
	return err
}

// maxNeeds limits the time that a successor can ask for.
const maxNeeds = 24 * time.Hour

// tell records that go is about to be sent. It returns an error if the successor must not serve.
func (p *Process) tell(a *attempt) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.isClosed():
		return errClosed
	case p.killed != 0 && (a.pid == p.killed || a.pid == 0):
		return errors.New("the upgrade has been given up")
	}
	a.told = true
	_ = a.peer.conn.SetDeadline(time.Now().Add(writeTime))
	return nil
}

// deadline sets the deadline for the next message, unless Close has ended the attempt.
func (p *Process) deadline(a *attempt, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed() {
		return errClosed
	}
	return a.peer.conn.SetDeadline(time.Now().Add(d))
}

// sendSockets sends the pipe, the control socket, and everything that was offered.
func (p *Process) sendSockets(a *attempt) error {
	p.mu.Lock()
	all := append([]passed{{socket: socket{Name: lifeName}, conn: a.life[0]}}, p.offered...)
	p.setUnlink(false) // the successor has the sockets
	p.mu.Unlock()
	for {
		all = slices.DeleteFunc(all, passed.isClosed)
		part := all[:min(batch, len(all))]
		m := message{Type: "sockets", Version: version, Generation: p.generation, More: len(part) < len(all)}
		conns := make([]syscall.Conn, len(part))
		for i, s := range part {
			m.Sockets = append(m.Sockets, s.socket)
			conns[i] = s.conn
		}
		if err := p.deadline(a, writeTime); err != nil {
			return err
		}
		err := a.peer.send(m, conns...)
		if errors.Is(err, os.ErrClosed) && !p.isClosed() && slices.ContainsFunc(part, passed.isClosed) {
			continue // one has just been closed, and nothing was sent
		}
		if err != nil {
			return err
		}
		if !m.More {
			return nil
		}
		all = all[len(part):]
	}
}
