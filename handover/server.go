package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// maxWaiting limits the number of processes that have connected and wait for their turn. When one more process
// connects, the one that has waited longest is disconnected. A correct process then tries again.
const maxWaiting = 64

// A server is the part of a Process that hands over, from Ready to Replaced. The Process's mu protects it.
type server struct {
	control *scm.Listener // nil in a successor before Ready, and on systems that cannot pass descriptors
	offered []offered
	waiting []*peer       // processes that have connected and wait for their turn
	turn    chan struct{} // holds an element while one of them has its turn
	isMain  chan struct{} // closed when the service manager accepts notifications from this process
	pipe    [2]*os.File   // for the next attempt; nil if it could not be made yet
	attempt *attempt      // the one that has not ended, or the one that has succeeded
	upgrade *upgrade      // the call to Upgrade in progress
}

// An attempt is an attempt to hand over to one successor.
type attempt struct {
	peer *peer
	life [2]*os.File   // a pipe that shows the successor how the attempt ends
	main bool          // this process announces the successor to the service manager as the main process
	over chan struct{} // closed when the attempt has succeeded or failed
}

// wait waits until the attempt, if any, has ended.
func (a *attempt) wait() {
	if a != nil {
		<-a.over
	}
}

// An upgrade is a call to Upgrade.
type upgrade struct {
	pid    int           // of the process that it has started, or 0
	killed int           // the PID of the successor that it kills, until that has exited, or 0
	failed int           // the PID of the last process that did not take over, and
	reason error         // for that, if it is known
	over   chan struct{} // closed when Upgrade returns
}

// wait waits until Upgrade, if it has been called, returns.
func (u *upgrade) wait() {
	if u != nil {
		<-u.over
	}
}

// listen sets the Unix socket, which successors receive in turn.
func (s *server) listen(control *scm.Listener, file sys.FileID) {
	s.control = control
	s.offered = slices.Insert(s.offered, 0, newOffered(socket{Name: controlName, Network: "unix", Created: true, FileID: file}, control))
}

// setUnlink sets whether closing the sockets removes their files.
func (s *server) setUnlink(remove bool) {
	for _, o := range s.offered {
		o.unlink(remove)
	}
}

// keep returns the sockets that the service manager is to keep.
func (s *server) keep() (kept []offered) {
	for i, o := range s.offered {
		if o.Network != "" && o.Name != controlName {
			// even if the notification fails: the file then remains, and the next process replaces it
			s.offered[i].kept = true
			s.offered[i].unlink(false)
			kept = append(kept, o)
		}
	}
	return kept
}

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
			p.admit(peer)
		}()
	}
}

var sleep = time.Sleep // another function in a test

// enqueue adds a process to those that wait.
func (p *Process) enqueue(peer *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.server
	if p.isClosed() || p.isReplaced() {
		return false
	}
	if len(s.waiting) == maxWaiting {
		s.disconnect(1)
	}
	s.waiting = append(s.waiting, peer)
	return true
}

// disconnect disconnects the n processes that have waited longest. They try again.
func (s *server) disconnect(n int) {
	for _, peer := range s.waiting[:n] {
		_ = peer.conn.Close()
		close(peer.disconnected)
	}
	s.waiting = slices.Delete(s.waiting, 0, n)
}

// dequeue removes a process from those that wait, and reports whether it was there.
func (p *Process) dequeue(peer *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.server.waiting, peer)
	if i >= 0 {
		p.server.waiting = slices.Delete(p.server.waiting, i, i+1)
	}
	return i >= 0
}

// admit hands over to a process, if it is allowed to take over.
func (p *Process) admit(peer *peer) {
	reject := func(why string, err error) {
		if p.dequeue(peer) { // otherwise, disconnecting it is the reason for err
			p.logger.Warn("handover: "+why, "pid", peer.pid, "err", err)
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
	turn := p.server.turn
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-peer.disconnected: // perhaps because this process has been replaced, or closed: the successor tries again
		return
	}
	// Until then, the manager ignores this process. If it died, its predecessor would continue, and a successor that
	// had the sockets would serve too.
	select {
	case <-p.server.isMain:
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
	began := time.Now()
	a, err := p.newAttempt(peer)
	if err != nil {
		return
	}
	level := slog.LevelWarn
	p.mu.Lock()
	if u := p.server.upgrade; u != nil && u.pid == peer.pid && peer.pid != 0 { // Upgrade returns the reason
		level = slog.LevelInfo
	}
	p.mu.Unlock()
	p.logger.Info("handover: handing over", "pid", peer.pid)
	if err = p.converse(a, hello); err != nil {
		err = p.revoke(a, err)
	}
	closeFiles(a.life[:])
	if err == nil && a.main {
		err = p.announce(a)
	}
	if err != nil {
		p.resume(a, err)
		p.logger.Log(context.Background(), level, "handover: a successor did not take over", "pid", peer.pid, "duration", time.Since(began), "err", err)
	} else {
		p.logger.Info("handover: replaced", "pid", peer.pid, "duration", time.Since(began))
	}
	p.endAttempt(a, err)
}

// newAttempt begins an attempt.
func (p *Process) newAttempt(peer *peer) (*attempt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.on(gotHello); err != nil {
		return nil, err
	}
	s := &p.server
	if p.manager != nil {
		peer.pidfd = openPIDFD(peer.conn, peer.pid)
	}
	s.attempt, s.pipe = &attempt{peer: peer, life: s.pipe, over: make(chan struct{})}, [2]*os.File{}
	return s.attempt, nil
}

// announce tells the manager, and then the successor, that the successor is the main process.
func (p *Process) announce(a *attempt) error {
	if err := p.manager.setMain(p.ending, a.peer.pid, a.peer.pidfd); err != nil {
		return err
	}
	_ = a.peer.conn.SetDeadline(time.Now().Add(writeTime))
	if err := a.peer.send(message{Type: "main"}); err != nil && !isGone(err) {
		p.logger.Warn("handover: cannot tell the successor that it is the main process", "pid", a.peer.pid, "err", err)
	}
	return nil
}

// revoke writes a byte into the pipe, which says that this process lives, even if the message that follows does not fit
// into the socket's buffer. It returns the reason for the successor.
func (p *Process) revoke(a *attempt, err error) error {
	_, _ = a.life[1].Write([]byte{0})
	if p.isClosed() {
		return errors.New("the predecessor is ending")
	}
	return err
}

// resume makes this process continue after an attempt that has failed, unless Close has been called.
func (p *Process) resume(a *attempt, reason error) {
	p.mu.Lock()
	from, ended := p.on(gotFailure) // from now on, Close waits for the end of the attempt
	if ended == nil {
		p.server.setUnlink(true)
		_ = p.server.makePipe() // or the next attempt makes it
	}
	p.mu.Unlock()
	a.peer.abort(reason)
	if from == told {
		p.pidFile.log(p.pidFile.restore(p.ending)) // the successor may have written it
	}
}

// endAttempt ends an attempt. If err is nil, a successor serves.
func (p *Process) endAttempt(a *attempt, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(a.over)
	s := &p.server
	if err == nil {
		_, err = p.on(gotMain)
	}
	if err == nil {
		_ = s.control.Close()
		s.disconnect(len(s.waiting))
		return
	}
	s.attempt = nil
	if s.upgrade != nil && !isGone(err) { // then only Wait knows why the process has exited
		s.upgrade.failed, s.upgrade.reason = a.peer.pid, err
	}
}

// converse sends the sockets. It returns nil when it has received going from the successor.
func (p *Process) converse(a *attempt, hello message) (err error) {
	if a.life[0] == nil {
		if a.life[0], a.life[1], err = newPipe(); err != nil {
			return err
		}
	}
	if err := p.sendSockets(a); err != nil {
		return err
	}
	needs := time.Duration(min(max(hello.Needs, 0), int64(maxNeeds/time.Millisecond))) * time.Millisecond
	if err := p.deadline(a, needs); err != nil {
		return err
	}
	_, err = a.peer.receive("ready")
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the successor was not ready after %v", needs)
	case err != nil:
		return err
	}
	if err := p.tell(a); err != nil {
		return err
	}
	a.main = p.manager.supervises(a.peer.pid, hello.Unit)
	if err := a.peer.send(message{Type: "go", Main: a.main}); err != nil {
		return err
	}
	// Only the end of the connection proves that the successor is not serving. A deadline could expire while it is.
	_ = a.peer.conn.SetDeadline(time.Time{})
	_, err = a.peer.receive("going")
	if aborted := new(abortError); err == nil || isGone(err) || errors.As(err, &aborted) {
		return err
	}
	// Only a successor that may serve sends anything but abort. An error of read(2) does not say what it has sent.
	p.logger.Warn("handover: took an error for going", "pid", a.peer.pid, "err", err)
	return nil
}

var newPipe = os.Pipe // another function in a test

// makePipe makes the pipe of the next attempt in advance, because the descriptor table may be full when a successor
// connects.
func (s *server) makePipe() (err error) {
	s.pipe[0], s.pipe[1], err = newPipe()
	return err
}

// maxNeeds limits the time that a successor can ask for.
const maxNeeds = 24 * time.Hour

// tell records that go is about to be sent. It returns an error if the successor must not serve.
func (p *Process) tell(a *attempt) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u, pid := p.server.upgrade, a.peer.pid; u != nil && u.killed != 0 && (pid == u.killed || pid == 0) {
		return errors.New("the upgrade has been given up")
	}
	if _, err := p.on(gotAnswer); err != nil {
		return err
	}
	_ = a.peer.conn.SetDeadline(time.Now().Add(goTime))
	return nil
}

var goTime = writeTime // shorter in a test

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
	all := append([]offered{newOffered(socket{Name: lifeName}, a.life[0])}, p.server.offered...)
	p.server.setUnlink(false) // the successor has the sockets
	p.mu.Unlock()
	for {
		all = slices.DeleteFunc(all, offered.isClosed)
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
		if errors.Is(err, os.ErrClosed) && !p.isClosed() && slices.ContainsFunc(part, offered.isClosed) {
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
