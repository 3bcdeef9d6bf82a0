//go:build linux

package handover

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
)

// rows are the events in which a process dies or stops while it hands over or takes over, and what must follow. At the
// end exactly one process serves, and the clients have lost at most what the row says. The events that need a service
// manager, or a lack of memory, are tests of make proof-systemd.
var rows = []struct {
	event string
	may   loss
	run   func(t *testing.T, w *processes)
}{
	{"the successor dies before it has sent going", nothing, func(t *testing.T, w *processes) {
		w.diesBeforeGoing(w.first())
		w.start().only()
	}},
	{"the abort is lost, and another successor takes over", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		b := w.missesAbort(a)
		c := w.start()
		a.says("ended")
		b.reads("ready")
		b.says("failed", "the predecessor has given up")
		c.only()
	}},
	{"the abort is lost, and the predecessor dies while another successor is ready", requests, func(t *testing.T, w *processes) {
		a := w.first()
		b := w.missesAbort(a)
		r, c := w.holds("ready")
		a.kill()
		r.drop()
		b.reads("ready")
		b.says("failed", "the predecessor has given up")
		c.only()
	}},
	{"the abort is lost when the predecessor is told to end", refused, func(t *testing.T, w *processes) {
		a := w.first()
		r := w.relay("abort", 1)
		b := w.prepares()
		a.signal(syscall.SIGTERM)
		r.holds()
		a.says("ended")
		r.drop()
		b.reads("ready")
		b.says("failed", "the predecessor has given up")
		b.says("ended") // or its sockets would still be in use
		w.start().only()
	}},
	{"the successor dies while the service manager does not answer", requests, func(t *testing.T, w *processes) {
		m := newManager(t)
		m.hold = make(chan struct{})
		a := w.first()
		b := w.start()
		b.says("serving")
		for !strings.HasPrefix(m.next(), "MAINPID=") {
		}
		a.stops() // or it would accept the next successors
		c := w.start("start=50ms")
		c.says("failed", "deadline exceeded")
		d := w.start()
		a.continues()
		b.kill()
		close(m.hold)
		a.says("log", "it exited as soon as it served")
		d.only()
		w.start().only()
	}},
	{"the successor dies after go, before it has sent going", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		b := w.stoppedAfterGo()
		a.answers()
		b.kill()
		a.only()
		w.start().only()
	}},
	{"the successor is too slow", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		b := w.start("waits=yes", "timeout=1ms")
		a.says("log", "not ready after 1ms")
		b.says("prepared")
		b.reads("ready")
		b.says("failed", "not ready after 1ms")
		a.only()
		w.start().only()
	}},
	{"the successor is stopped before ready", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		r, b := w.holds("sockets", "timeout=1ms")
		b.stops()
		r.release()
		a.says("log", "not ready after 1ms")
		a.answers()
		b.continues()
		b.says("failed", "not ready after 1ms")
		a.only()
		w.start().only()
	}},
	{"the successor is stopped between go and going", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		b := w.stoppedAfterGo()
		a.answers()
		c := w.start("start=50ms")
		c.says("failed", "deadline exceeded")
		a.answers()
		b.continues()
		b.only()
	}},
	{"the predecessor dies before it has sent all sockets", refused, func(t *testing.T, w *processes) {
		const files = "files=200" // in more than one message
		a := w.start("waits=yes", files)
		a.says("prepared")
		r, b := w.holds("hello", files)
		r.release() // into the queue of the first process, which does not read it before Ready
		a.kill()
		b.only()
		b.signal(syscall.SIGTERM)
		b.says("ended")

		a = w.first(files)
		for nth := range 2 {
			r := w.relay("sockets", 1+nth)
			b := w.start(files)
			r.holds()
			a.kill()
			r.drop()
			b.only()
			a = b
		}
		w.start(files).only()
	}},
	{"the predecessor dies later", requests, func(t *testing.T, w *processes) {
		a := w.first()
		b := w.prepares()
		a.kill()
		b.reads("ready")
		b.only()
		for _, held := range []string{"ready", "go", "going"} {
			r, c := w.holds(held)
			b.kill()
			r.drop()
			c.only()
			b = c
		}
		w.start().only()
	}},
	{"the predecessor is told to end", refused, func(t *testing.T, w *processes) {
		a := w.first()
		ends := func(b *webServer, then func()) {
			a.signal(syscall.SIGTERM)
			a.says("ended")
			for _, path := range []string{w.path, w.path + ".web"} {
				if _, err := os.Stat(path); err != nil {
					t.Error("the successor has the socket, but its file is gone: ", err)
				}
			}
			then()
			b.says("failed", "the predecessor is ending")
			b.says("ended")
			a = w.start()
			a.only()
		}
		b := w.prepares()
		ends(b, func() { b.reads("ready") })
		r, c := w.holds("ready")
		ends(c, r.release)
	}},
	{"the predecessor is told to end after go", requests, func(t *testing.T, w *processes) {
		a := w.first()
		r, b := w.holds("go")
		a.signal(syscall.SIGTERM)
		a.says("ended")
		r.release()
		b.only()
	}},
	{"the predecessor is stopped before go", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		a.stops()
		b := w.start("start=50ms")
		b.says("failed", "deadline exceeded")
		a.continues()
		a.only()

		r, b := w.holds("ready")
		a.stops()
		r.release()
		conn, err := net.Dial("unix", w.path+".web")
		fdtest.Must(t, err)
		b.reads("cancel")
		b.says("failed", "context canceled")
		b.says("ended")
		_ = conn.SetReadDeadline(time.Now())
		if n, err := conn.Read(make([]byte, 1)); n > 0 {
			t.Errorf("a process answers while the predecessor is stopped: %v", err)
		}
		a.continues()
		a.says("log", "context canceled")
		_ = conn.SetReadDeadline(time.Now().Add(timeLimit))
		if n, err := conn.Read(make([]byte, 1)); n == 0 {
			t.Error(err)
		}
		_ = conn.Close()
		a.only()
		w.start().only()
	}},
	{"the predecessor is stopped after go", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		r, b := w.holds("go")
		a.stops()
		r.release()
		b.says("serving")
		b.answers()
		a.continues()
		a.says("replaced")
		b.only()
	}},
	{"the predecessor has closed the stream but lives", nothing, func(t *testing.T, w *processes) {
		a := w.first()
		r := w.relay("", 0)
		b := w.prepares()
		r.drop()
		b.reads("ready")
		b.says("failed", "the predecessor has given up")
		a.only()
		w.start().only()
	}},
	{"the successor dies after going, and the draining process is told to end", refused, func(t *testing.T, w *processes) {
		a := w.first()
		conn, _, pid, _, err := w.dial()
		fdtest.Must(t, err)
		defer func() { _ = conn.Close() }()
		if pid != a.cmd.Process.Pid {
			t.Fatalf("process %d has answered", pid)
		}
		b := w.start()
		a.says("replaced")
		b.says("serving")
		b.kill()
		if _, lost, err := w.ask(); lost != refused {
			t.Errorf("a process serves after the successor's death: %v", err)
		}
		if a.has("ended") {
			t.Error("the draining process has not waited for its client")
		}
		a.signal(syscall.SIGTERM)
		a.says("ended")
		w.start().only()
	}},
	{"several first processes", refused, func(t *testing.T, w *processes) {
		w.oneOf(6)
	}},
	{"several successors", nothing, func(t *testing.T, w *processes) {
		w.first()
		w.oneOf(6)
	}},
}

// make proof-stress runs this test 20 times.
func TestProcessDiesOrStops(t *testing.T) {
	for _, row := range rows {
		t.Run(strings.ReplaceAll(row.event, ",", ""), func(t *testing.T) { row.run(t, newProcesses(t, row.may)) })
	}
}

// prepares returns a successor that has the sockets, and waits before Ready.
func (w *processes) prepares(options ...string) *webServer {
	w.t.Helper()
	b := w.start(append(options, "waits=yes")...)
	b.says("prepared")
	return b
}

// holds returns a successor, and a relay that holds a message between it and its predecessor.
func (w *processes) holds(message string, options ...string) (*relay, *webServer) {
	w.t.Helper()
	r := w.relay(message, 1)
	b := w.start(options...)
	r.holds()
	return r, b
}

// diesBeforeGoing kills successors at each step before going.
func (w *processes) diesBeforeGoing(a *webServer, options ...string) {
	w.t.Helper()
	for _, held := range []string{"hello", "sockets", "ready", "go"} {
		r, b := w.holds(held, options...)
		b.kill()
		r.drop()
		a.only()
	}
	w.prepares(options...).kill()
	a.only()
}

// missesAbort returns a successor that has the sockets, and does not know that its predecessor has given up.
func (w *processes) missesAbort(a *webServer) *webServer {
	w.t.Helper()
	r := w.relay("abort", 1)
	b := w.prepares("timeout=1ms")
	a.says("log", "not ready after 1ms")
	r.holds()
	r.drop()
	a.answers()
	return b
}

// stoppedAfterGo returns a successor that is stopped after it has received go, and before it sends going.
func (w *processes) stoppedAfterGo() *webServer {
	w.t.Helper()
	r, b := w.holds("go")
	b.stops()
	r.release()
	return b
}

// oneOf starts several servers at once, and waits until one of them serves alone.
func (w *processes) oneOf(n int) {
	w.t.Helper()
	for range n {
		w.start()
	}
	var last *webServer
	fdtest.Eventually(w.t, "all but one process have ended", func() bool {
		running := 0
		for _, s := range w.all {
			if !s.has("ended") {
				last = s
				running++
			}
		}
		return running == 1 && last.serves()
	})
	last.only()
}
