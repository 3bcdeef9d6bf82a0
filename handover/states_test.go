//go:build linux

package handover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
)

var (
	states = []state{preparing, asking, serving, handing, told, replaced, leaving, closed}
	events = []event{gotHello, gotAnswer, gotFailure, peerDied, gotMain, callReady, callClose, callUpgrade}
)

func (s state) String() string {
	return names(int(s), "preparing", "asking", "serving", "handing", "told", "replaced", "leaving", "closed")
}

func (e event) String() string {
	return names(int(e), "hello", "answer", "failure", "death", "main", "Ready", "Close", "Upgrade")
}

// names returns the names of bits.
func names(bits int, all ...string) string {
	var set []string
	for i, name := range all {
		if bits&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, ", ")
}

// A situation is a Process in a state, between a predecessor or a successor that the test plays.
type situation struct {
	t           *testing.T
	p           *Process
	in          state
	manager     *testManager
	predecessor *predecessor
	before      *script // the predecessor's end of the connection
	next        *script // the successor's
	ready       chan error
	cancel      context.CancelFunc // of Ready
}

func (s *situation) is(want state) bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.p.state == want
}

// situationIn returns a Process in the state. One that has been closed waited for main of its predecessor.
func situationIn(t *testing.T, in state) *situation {
	s := &situation{t: t, in: in, manager: newManager(t)}
	if in&(preparing|asking|serving|closed) != 0 {
		s.predecessor = newPredecessor(t)
		s.p, s.before = s.predecessor.accepts(Config{})
		if in == preparing {
			return s
		}
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(patient(t))
		s.ready = inBackground(func() error { return s.p.Ready(ctx) })
		s.before.gets("ready")
		if in&(serving|closed) != 0 { // before main
			s.before.sends(message{Type: "go", Main: true})
			s.before.gets("going")
			fdtest.Must(t, <-s.ready)
		}
		if in == closed {
			_ = s.p.Close()
		}
		return s
	}
	s.p = startReady(t, Config{})
	s.manager.gets("READY=1")
	s.next = successorOf(t, s.p.path)
	s.next.prepares("0123")
	if in == handing {
		return s
	}
	s.next.sends(message{Type: "ready"})
	s.next.gets("go")
	if in == told {
		s.manager.hold = make(chan struct{})
		t.Cleanup(func() { s.lets() })
	}
	switch in {
	case replaced:
		s.next.sends(message{Type: "going"})
		s.next.gets("main")
		isReplaced(t, s.p)
	case leaving:
		_ = s.p.Close()
	}
	return s
}

// lets lets the manager answer.
func (s *situation) lets() {
	select {
	case <-s.manager.hold:
	default:
		close(s.manager.hold)
	}
}

// ways are those in which an event can happen.
func ways(in state, e event) []string {
	switch {
	case in == closed:
	case e == gotFailure && in == asking:
		return []string{" abort", " deadline", " garbage"}
	case e == gotFailure && in == handing:
		return []string{" abort", " deadline", " end", " garbage"}
	case e == gotFailure:
		return []string{" abort", " end", " end in a message", " abort that has lost its descriptor"}
	case e == gotAnswer && in&(told|leaving) != 0:
		return []string{" going", " going that has lost its descriptor", " garbage", " another message", " deadline"}
	case e == gotMain && in == serving:
		return []string{" main", " abort", " end"}
	}
	return []string{""}
}

// happens lets an event happen, and returns when the Process has noticed. The error is that of the method.
func (s *situation) happens(e event, way string) error {
	s.t.Helper()
	ended := func() bool {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		if a := s.p.server.attempt; a != nil && way == " deadline" { // again, because the Process sets it too
			_ = a.peer.conn.SetDeadline(expired)
		}
		return s.p.server.attempt == nil
	}
	switch e {
	case gotHello:
		s.hello()
	case gotAnswer:
		switch s.in {
		case closed: // ready was received just before
			if err := s.p.tell(&attempt{peer: new(peer)}); err != errClosed {
				s.t.Error(err)
			}
		case asking:
			s.before.sends(message{Type: "go"})
			s.before.gets("going")
			return <-s.ready
		case handing:
			s.next.sends(message{Type: "ready"})
			s.next.gets("go")
		default:
			switch way {
			case " going":
				s.next.sends(message{Type: "going"})
			case " going that has lost its descriptor":
				s.next.sendsRaw(`{"type":"going","descriptors":2}`, os.Stdin)
			case " garbage":
				s.next.sendsRaw("{")
			case " deadline":
				fdtest.Eventually(s.t, "it has noticed the error", func() bool {
					if ended() {
						s.t.Fatal("it continues, but the successor may serve")
					}
					return s.p.isReplaced() || len(s.manager.texts) > 0
				})
			default:
				s.next.sends(message{Type: "later"})
			}
			if s.in == leaving { // the manager is no longer told
				<-s.p.Replaced()
			} else if text := s.manager.next(); !strings.HasPrefix(text, "MAINPID=") {
				s.t.Errorf("the manager received %q", text)
			}
		}
		return nil
	case gotMain:
		if s.in == closed {
			<-s.p.server.isMain
			return nil
		}
		if s.in == serving {
			switch way {
			case " main":
				s.before.sends(message{Type: "main"})
			case " abort":
				s.before.sends(message{Type: "abort", Reason: "no memory"})
			default:
				s.predecessor.dies(s.before)
			}
			<-s.p.server.isMain
			return nil
		}
		s.next.sends(message{Type: "going"})
		s.lets()
		<-s.p.Replaced()
		return nil
	case gotFailure:
		if s.in == closed {
			s.p.resume(&attempt{}, errClosed)
			return nil
		}
		other := cmp.Or(s.next, s.before)
		switch {
		case way == " abort":
			other.sends(message{Type: "abort", Reason: "no memory"})
		case way == " abort that has lost its descriptor":
			other.sendsRaw(`{"type":"abort","descriptors":2}`, os.Stdin)
		case way == " garbage":
			other.sendsRaw("{")
			if s.in == asking { // it lives
				_, _ = s.predecessor.life[1].Write([]byte{0})
			}
		case way == " end in a message":
			_, _ = other.conn.Write([]byte{0, 0, 0, 30, '{'})
			other.close()
		case way == " end":
			other.close()
		case s.in == asking:
			s.cancel()
		}
	case peerDied:
		s.predecessor.dies(s.before)
	case callReady:
		if s.in == preparing { // it waits
			s.ready = readying(s.t, s.p)
			s.before.gets("ready")
			return nil
		}
		return s.p.Ready(patient(s.t))
	case callClose:
		return s.p.Close()
	case callUpgrade:
		if s.in == serving { // Upgrade waits for main
			s.before.sends(message{Type: "main"})
		}
		err := s.p.Upgrade(patient(s.t), reexec.Command("exits"))
		if err != nil && strings.Contains(err.Error(), "exited before it served") {
			err = nil
		}
		return err
	}
	switch {
	case e == gotHello:
	case s.in == asking:
		if err := <-s.ready; (err == nil) != (e == peerDied) {
			s.t.Error("Ready: ", err)
		}
	default:
		fdtest.Eventually(s.t, "the attempt has ended", ended)
	}
	return nil
}

// hello connects as another process.
func (s *situation) hello() {
	s.t.Helper()
	if s.in&(replaced|leaving|closed) != 0 { // it connected before
		ours, theirs, err := scm.Pair("unix")
		if err != nil {
			s.t.Fatal(err)
		}
		play(s.t, theirs)
		if s.p.enqueue(play(s.t, ours).peer) {
			s.t.Error("the process is not disconnected")
		}
		return
	}
	if s.in == serving {
		s.before.sends(message{Type: "main"})
	}
	another := successorOf(s.t, s.p.path)
	another.sends(hello(""))
	if s.in == serving {
		another.gets("sockets")
		return
	}
	fdtest.Eventually(s.t, "it waits", func() bool {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		return len(s.p.server.waiting) == 1
	})
}

// Every event happens in every state in which it can occur, and leads to the state of the table.
func TestStates(t *testing.T) {
	for _, in := range states {
		for _, e := range events {
			rows := 0
			for _, row := range transitions {
				if row.in&in == 0 || row.on&e == 0 {
					continue
				}
				rows++
				if (row.does == "") == (row.why == "") {
					t.Errorf("%v, %s: the row must say what the process does, or why the event cannot occur", in, e)
				}
				want := row.next
				if want == same {
					want = in
				}
				bare := newMachine(in)
				from, err := bare.on(e)
				if from != in || bare.state != want || err != row.err || bare.isClosed() != (want != in && want&(leaving|closed) != 0) || bare.isReplaced() != (want == replaced && in != want || in == leaving && e&(gotAnswer|gotMain) != 0) {
					t.Errorf("%v, %s: on returns %v, %v, and the state is %v", in, e, from, err, bare.state)
				}
				if row.why != "" {
					continue
				}
				for _, way := range ways(in, e) {
					t.Run(fmt.Sprintf("%v %s%s", in, e, way), func(t *testing.T) {
						s := situationIn(t, in)
						if !s.is(in) {
							t.Fatalf("the state is %v", s.p.state)
						}
						err := s.happens(e, way)
						isCall := e == callReady || e == callUpgrade
						if isCall && !errors.Is(err, row.err) || (!isCall || row.err == nil) && err != nil {
							t.Errorf("got %v, want %v", err, row.err)
						}
						fdtest.Eventually(t, "the state is "+want.String(), func() bool { return s.is(want) })
					})
				}
			}
			if rows != 1 {
				t.Errorf("%v, %s: %d rows", in, e, rows)
			}
		}
	}
}
