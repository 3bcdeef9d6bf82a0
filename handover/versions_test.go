//go:build linux

package handover

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
)

// The predecessor chooses one of the successor's versions, and limits the time that it asks for.
func TestHello(t *testing.T) {
	noLeak(t)
	for timeout, needs := range map[time.Duration]int64{0: defaultTimeout.Milliseconds(), 1: 1} {
		p := newPredecessor(t)
		s, started := p.starts(Config{Timeout: timeout})
		if m := s.gets("hello"); !slices.Equal(m.Versions, []int{version}) || m.Needs != needs {
			t.Errorf("hello: %+v", m)
		}
		m, conns := p.sockets()
		m.Version = 2
		s.sends(m, conns...)
		_, err := started()
		wantError(t, err, "uses version 2 of the protocol")
	}

	a := startReady(t, Config{})
	s := successorOf(t, a.path)
	s.sendsRaw(`{"type":"hello","versions":[2,3]}`)
	s.getsAbort("supports the versions [2 3] of the protocol, but this process requires 1")
	s = successorOf(t, a.path)
	s.sendsRaw(fmt.Sprintf(`{"type":"hello","versions":[7,1],"needs":%d}`, int64(1)<<62))
	if m := s.gets("sockets"); m.Version != version {
		t.Errorf("version %d", m.Version)
	}
	_ = s.send(message{Type: "ready"}) // fails if the predecessor has given up
	s.gets("go")
}

// sendsRaw sends a message that this version cannot express.
func (s *script) sendsRaw(text string, sockets ...syscall.Conn) {
	s.t.Helper()
	if err := s.sendText([]byte(text), sockets...); err != nil {
		s.t.Fatal(err)
	}
}

// Every message, in both directions and also abort, has fields and descriptors of a later version.
func TestFieldsOfALaterVersion(t *testing.T) {
	noLeak(t)
	var log logged
	w := newProcesses(t, nothing)
	a := start(t, Config{Logger: log.logger()}, w.path)
	ready(t, a)
	later := func(text []byte) []byte {
		fields := map[string]any{}
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Error(err)
		}
		n := fields["descriptors"].(float64) + 1
		fields["descriptors"], fields[fmt.Sprint("later", n)] = n, map[string]any{"type": "other", "descriptors": []int{1}}
		return must(json.Marshal(fields))
	}
	relay := func() { w.relay("", 0, later, later) }
	relay()
	b := start(t, Config{Timeout: time.Millisecond}, w.path)
	fdtest.Eventually(t, "the predecessor gives up", log.has("not ready after 1ms"))
	wantError(t, b.Ready(patient(t)), "not ready after 1ms")
	relay()
	c := start(t, Config{}, w.path)
	_ = c.Close() // sends abort
	for range 3 {
		relay()
		a = replaces(t, a)
	}
}

// A program in another language takes over, survives a failed successor, and hands over.
func TestPython(t *testing.T) {
	noLeak(t)
	python := fdtest.Program(t, "python3")
	w := newProcesses(t, nothing)
	w.first()
	for range 2 {
		b := w.run(exec.Command(python, "-B", filepath.Join("testdata", "successor.py"), w.path))
		b.only()
		r, c := w.holds("ready")
		c.kill()
		r.drop()
		b.only()
		w.start().only()
	}
}
