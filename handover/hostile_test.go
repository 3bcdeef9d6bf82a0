//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
)

func TestCheck(t *testing.T) {
	noLeak(t)
	var log logged
	a := startReady(t, Config{Logger: log.logger(), Check: func(*scm.Conn) error { return errors.New("not on Sundays") }})
	for range 20 { // the answer must not depend on who is faster
		_, err := Start(patient(t), a.path)
		wantError(t, err, "the other process has given up: \"not on Sundays\"")
	}
	if !log.has("not on Sundays")() {
		t.Error("not logged")
	}
	s := successorOf(t, a.path)
	s.getsAbort("not on Sundays")
	fdtest.Must(t, sameUser(s.conn))
	b := startReady(t, Config{Check: func(*scm.Conn) error { return fmt.Errorf("policy server: %w", io.EOF) }})
	successorOf(t, b.path).getsAbort("policy server: EOF")
}

// waits lets a process, which the test plays, wait for its turn.
func waits(t *testing.T, a *Process) (*peer, *script) {
	t.Helper()
	ours, theirs, err := scm.Pair("unix")
	fdtest.Must(t, err)
	p := newPeer(ours)
	t.Cleanup(p.close)
	a.enqueue(p)
	return p, play(t, theirs)
}

// A process that is disconnected because others wait, or because this one has been replaced, only has to try again.
func TestDisconnectedProcessIsNotRejected(t *testing.T) {
	noLeak(t)
	var log logged
	a := startReady(t, Config{Logger: log.logger()})
	var waiting []*peer
	for range maxWaiting + 1 {
		p, _ := waits(t, a)
		waiting = append(waiting, p)
	}
	a.admit(waiting[0])
	a.mu.Lock()
	a.server.disconnect(len(a.server.waiting))
	a.mu.Unlock()
	a.admit(waiting[1])
	if len(log.lines) != 1 {
		t.Errorf("%q", log.lines)
	}
}

// The limit applies to the goroutines, too.
func TestDisconnectedProcessIsNotWaitedFor(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	a.server.turn <- struct{}{} // of another process
	p, s := waits(t, a)
	s.sends(hello(""))
	done := make(chan bool)
	go func() { a.admit(p); close(done) }()
	fdtest.Eventually(t, "hello has been read", func() bool { return unread(p.conn) == 0 })
	a.mu.Lock()
	a.server.disconnect(1)
	a.mu.Unlock()
	select {
	case <-done:
	case <-time.After(timeLimit):
		t.Error("it waits for its turn")
	}
}

// The message of a rejected process is still in the receive queue when the connection is closed.
func TestNothingIsReadFromARejectedProcess(t *testing.T) {
	noLeak(t)
	sent := make(chan bool)
	var queue *os.File // a duplicate of the socket, which outlives the connection
	a := start(t, Config{Check: func(successor *scm.Conn) error {
		<-sent
		queue = must(successor.File())
		return errors.New("not on Sundays")
	}}, socketPath(t))
	ready(t, a)
	s := successorOf(t, a.path)
	size := 0
	for range 3 {
		n, err := s.conn.WriteFiles(make([]byte, 10_000), os.Stdin, os.Stdout)
		fdtest.Must(t, err)
		size += n
	}
	close(sent)
	s.getsAbort("not on Sundays")
	defer func() { _ = queue.Close() }()
	if n := unread(queue); int(n) != size {
		t.Errorf("%d of %d bytes have not been read", n, size)
	}
}

func init() { reexec.Register("hostile", runHostile) }

// runHostile is a process that connects, but is no successor. Its arguments are PATH KIND N. It keeps N connections,
// and connects again when one is closed. It prints "connected" when it has been connected N times, and ends with its
// input.
func runHostile(args []string) {
	var n int
	_ = must(fmt.Sscan(args[2], &n))
	var connected sync.WaitGroup
	connected.Add(n)
	for i := range n {
		go func() {
			for once := sync.OnceFunc(connected.Done); ; {
				conn, err := scm.Dial(context.Background(), "unix", args[0])
				if errors.Is(err, syscall.EAGAIN) { // the queue is full
					time.Sleep(time.Millisecond)
					continue
				}
				if err != nil {
					return // the predecessor and its successor have ended
				}
				once()
				p := newPeer(conn)
				behave := hostile[args[1]]
				_ = behave[i%len(behave)](p)
				_, _ = p.receive("nothing")
				p.close()
			}
		}()
	}
	connected.Wait()
	fmt.Println("connected")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// hostile are what processes do after they have connected, by kind.
var hostile = map[string][]func(p *peer) error{
	"silent": {func(*peer) error { return nil }},
	"garbage": {
		func(p *peer) error { _, err := io.WriteString(p.conn, "GET / HTTP/1.1\r\n\r\n"); return err },
		func(p *peer) error { return p.sendText([]byte("{")) },
		func(p *peer) error { return p.sendText([]byte("[]")) },
		func(p *peer) error { return p.sendText([]byte(`{"type":"ready"}`)) },
		func(p *peer) error {
			return p.sendText([]byte(`{"type":"hello","versions":[1],"descriptors":3}`), os.Stdin)
		},
		func(p *peer) error {
			return p.sendText([]byte(`{"type":"hello","versions":[1],"descriptors":1}`), os.Stdin, os.Stdin)
		},
		func(p *peer) error { return p.sendText([]byte(`{"type":"hello","versions":[1],"descriptors":-1}`)) },
	},
	"without end": {func(p *peer) error {
		for {
			if _, err := p.conn.Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
	}},
	// More messages could use up the descriptors that an unprivileged user may have in flight, so that a correct
	// successor would get ETOOMANYREFS.
	"253 descriptors": {func(p *peer) error {
		for range 2 {
			if _, err := p.conn.WriteFiles([]byte{0}, slices.Repeat([]*os.File{os.Stdin}, scm.MaxFDs)...); err != nil {
				return err
			}
		}
		return nil
	}},
}

// A correct successor takes over while processes that Check accepts do everything else.
func TestHostileProcesses(t *testing.T) {
	noLeak(t)
	a := startReady(t, Config{})
	for _, c := range []struct {
		kind        string
		connections int
	}{
		{"garbage", 7}, {"without end", 1}, {"253 descriptors", 1},
		// one process may be limited to 1,024 descriptors
		{"silent", 250}, {"silent", 250}, {"silent", 250}, {"silent", 250},
	} {
		cmd, in, lines := command(t, reexec.Command("hostile", a.path, c.kind, fmt.Sprint(c.connections)))
		fdtest.Must(t, cmd.Start())
		defer func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil { // it has lived until now
				t.Errorf("%s: %v", c.kind, err)
			}
		}()
		next(t, lines)
	}
	for range 3 {
		a = replaces(t, a)
	}
}
