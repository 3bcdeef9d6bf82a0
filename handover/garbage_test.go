//go:build linux

package handover

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
)

// garbage lists what a process can send instead of the next message. Each entry ends the stream, is an abort with wrong
// fields, or counts as another message.
var garbage = []struct {
	what        string
	ends, abort bool
	send        func(s *script)
}{
	{"the end", true, false, func(s *script) { s.close() }},
	{"a part of a length", true, false, func(s *script) { s.bytes(0, 0); s.close() }},
	{"a length", true, false, func(s *script) { s.bytes(0, 0, 0, 9); s.close() }},
	{"a part of a text", true, false, func(s *script) { s.bytes(0, 0, 0, 9, '{'); s.close() }},
	{"another protocol", false, false, func(s *script) { s.bytes([]byte("GET / HTTP/1.1\r\n\r\n")...) }},
	{"no text", false, false, func(s *script) { s.bytes(0, 0, 0, 0) }},
	{"a length above the maximum", false, false, func(s *script) { s.bytes(0, 0x10, 0, 1) }},
	{"zero bytes", false, false, func(s *script) { s.bytes(make([]byte, 100)...) }},
	{"invalid JSON", false, false, func(s *script) { s.sendsRaw("{") }},
	{"invalid UTF-8", false, false, func(s *script) { s.sendsRaw("\xff\xfe") }},
	{"an array", false, false, func(s *script) { s.sendsRaw("[]") }},
	{"null", false, false, func(s *script) { s.sendsRaw("null") }},
	{"a string", false, false, func(s *script) { s.sendsRaw(`"going"`) }},
	{"deep JSON", false, false, func(s *script) { s.sendsRaw(strings.Repeat("[", 20_000)) }},
	{"no type", false, false, func(s *script) { s.sendsRaw(`{"descriptors":0}`) }},
	{"a type that is a number", false, false, func(s *script) { s.sendsRaw(`{"type":1,"descriptors":0}`) }},
	{"an unknown type", false, false, func(s *script) { s.sendsRaw(`{"type":"later","descriptors":0}`) }},
	{"a message of another step", false, false, func(s *script) { s.sendsRaw(`{"type":"received","descriptors":0}`) }},
	{"a negative number of descriptors", false, false, func(s *script) { s.sendsRaw(`{"type":"sockets","version":1,"descriptors":-1}`) }},
	{"descriptors that were not sent", false, false, func(s *script) { s.sendsRaw(`{"type":"sockets","version":1,"descriptors":3}`, os.Stdin) }},
	{"descriptors that were not counted", false, false, func(s *script) {
		s.sendsRaw(`{"type":"sockets","version":1,"descriptors":1}`, os.Stdin, os.Stdin)
	}},
	{"going with descriptors that were not sent", false, false, func(s *script) { s.sendsRaw(`{"type":"going","descriptors":2}`, os.Stdin) }},
	{"all descriptors that fit", false, false, func(s *script) {
		s.sendsRaw(`{"type":"later","descriptors":0}`, slices.Repeat([]syscall.Conn{os.Stdin}, scm.MaxFDs)...)
	}},
	{"an abort with descriptors that were not sent", false, true, func(s *script) { s.sendsRaw(`{"type":"abort","descriptors":7}`, os.Stdin) }},
	{"an abort with descriptors that were not counted", false, true, func(s *script) { s.sendsRaw(`{"type":"abort","descriptors":0}`, os.Stdin) }},
	{"an abort with a reason that is a number", false, true, func(s *script) { s.sendsRaw(`{"type":"abort","reason":1}`) }},
}

func (s *script) bytes(b ...byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Error(err)
	}
}

// ends waits until the other process has sent an abort, or ended the connection.
func (s *script) ends() {
	s.t.Helper()
	_, err := s.receive()
	if wanted := new(abortError); !isGone(err) && fmt.Sprintf("%T", err) != fmt.Sprintf("%T", wanted) {
		s.t.Errorf("the process does not give up: %v", err)
	}
}

// The successor sends garbage. It may serve only after go, so only then is the predecessor replaced.
func TestGarbageFromTheSuccessor(t *testing.T) {
	noLeak(t)
	for _, g := range garbage {
		for _, instead := range []string{"hello", "ready", "going"} {
			t.Run(g.what+" instead of "+instead, func(t *testing.T) {
				var log logged
				a := startReady(t, Config{Logger: log.logger()})
				s := successorOf(t, a.path)
				if instead != "hello" {
					s.prepares("")
				}
				if instead == "going" {
					s.sends(message{Type: "ready"})
					s.gets("go")
				}
				g.send(s)
				if instead == "going" && !g.ends && !g.abort {
					isReplaced(t, a)
					if got := log.has("took an error for going")(); got == strings.HasPrefix(g.what, "going") {
						t.Errorf("it is logged: %v", got)
					}
					return
				}
				if !g.ends {
					s.ends()
				}
				if a.isReplaced() {
					t.Fatal("the predecessor is replaced, but no process serves")
				}
				replaces(t, a)
			})
		}
	}
}

// An abort is read even if this process could not open the descriptors that were sent with it.
func TestAbortWithLostDescriptors(t *testing.T) {
	noLeak(t)
	p, s := waits(t, start(t, Config{}, socketPath(t)))
	for _, receive := range []func() (message, error){
		func() (message, error) { return p.receive("hello") },
		func() (message, error) {
			p.in = framed.NewReader(p.conn, framed.Limits{Message: -1, Waiting: -1}) // as with a full descriptor table
			m, _, err := p.receiveFiles("sockets")
			return m, err
		},
	} {
		s.sendsRaw(`{"type":"abort","descriptors":1,"reason":"no memory"}`, os.Stdin)
		_, err := receive()
		wantError(t, err, `given up: "no memory"`)
	}
}

// A message is rejected if it has more descriptors than it counts, even if it is right otherwise.
func TestMoreDescriptorsThanCounted(t *testing.T) {
	noLeak(t)
	p := newPredecessor(t)
	s, started := p.starts(Config{})
	s.gets("hello")
	m, conns := p.sockets()
	m.Descriptors = len(conns)
	s.sendsRaw(string(must(json.Marshal(m))), append(conns, os.Stdin)...)
	_, err := started()
	wantError(t, err, "received more than the 2 descriptors of a message")
}

// The successor closes the connection without having read go, which the kernel reports as ECONNRESET.
func TestResetAfterGo(t *testing.T) {
	noLeak(t)
	a := startReady(t, Config{})
	s := successorOf(t, a.path)
	s.prepares("")
	s.sends(message{Type: "ready"})
	fdtest.Eventually(t, "go is in the queue", func() bool { return unread(s.conn) > 0 })
	s.close()
	replaces(t, a)
}

// The predecessor sends garbage. It then continues, or dies.
func TestGarbageFromThePredecessor(t *testing.T) {
	noLeak(t)
	old := deathTime
	deathTime = timeLimit // the pipe decides
	defer func() { deathTime = old }()
	for _, g := range garbage {
		t.Run(g.what+" instead of sockets", func(t *testing.T) {
			p := newPredecessor(t)
			s, started := p.starts(Config{})
			s.gets("hello")
			g.send(s)
			if !g.ends {
				if _, err := started(); err == nil {
					t.Error("Start succeeds")
				}
				return
			}
			s = play(t, must(p.control.AcceptConn())) // it tries again
			s.gets("hello")
			m, conns := p.sockets()
			s.sends(m, conns...)
			b, err := started()
			fdtest.Must(t, err)
			s.letsServe(b, false)
			_ = b.Close()
		})
		for _, dies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s instead of go, and dies: %v", g.what, dies), func(t *testing.T) {
				p := newPredecessor(t)
				b, s := p.accepts(Config{})
				done := readying(t, b)
				s.gets("ready")
				g.send(s)
				if !dies {
					_, _ = p.life[1].Write([]byte{0})
				} else {
					if !g.ends {
						_ = s.conn.CloseWrite()
					}
					_ = p.life[1].Close()
				}
				if err := <-done; (err == nil) != (dies && !g.abort) {
					t.Errorf("Ready: %v", err)
				}
			})
		}
		t.Run(g.what+" instead of main", func(t *testing.T) {
			b, s := newPredecessor(t).accepts(Config{})
			s.letsServe(b, true)
			g.send(s)
			<-b.server.isMain
			replaces(t, b)
		})
	}
}
