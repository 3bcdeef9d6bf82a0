//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/wire"
)

// A testManager is a service manager that records the notifications that it receives, and answers barriers.
type testManager struct {
	t     *testing.T
	conn  *scm.Conn
	texts chan string // without the time in RELOADING
	hold  chan struct{}

	barriers atomic.Int32
}

// newManager starts a service manager for the processes that the test starts. They belong to one unit.
func newManager(t *testing.T) *testManager {
	m := &testManager{t: t, texts: make(chan string, 100), hold: make(chan struct{})}
	name := filepath.Join(fdtest.ShortDir(t), "notify")
	m.conn = must(scm.ListenPacket(patient(t), "unixgram", name))
	close(m.hold)
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("INVOCATION_ID", "0123")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			text, fds, err := wire.Notify.Recv(m.conn)
			if err != nil {
				return
			}
			if text != "BARRIER=1" {
				before, _, _ := strings.Cut(text, "\nMONOTONIC_USEC=")
				m.texts <- strings.ReplaceAll(before, "\n", " ") + m.names(fds)
			} else {
				m.barriers.Add(1)
				select {
				case <-m.hold:
				case <-t.Context().Done(): // the test has failed
				}
			}
			scm.CloseFDs(fds...)
		}
	}()
	t.Cleanup(func() { _ = m.conn.Close(); <-ended })
	return m
}

// names describes descriptors: the address of a socket, or the process of a pidfd.
func (m *testManager) names(fds []int) (names string) {
	for _, fd := range fds {
		if address, err := unix.Getsockname(fd); err == nil {
			switch address := address.(type) {
			case *unix.SockaddrInet4:
				names += fmt.Sprint(" ", address.Port)
			case *unix.SockaddrUnix:
				names += " " + address.Name
			}
		} else if info, err := os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd)); err == nil {
			_, after, _ := strings.Cut(string(info), "Pid:\t")
			pid, _, _ := strings.Cut(after, "\n")
			names += " process " + pid
		}
	}
	return names
}

func (m *testManager) gets(want ...string) {
	m.t.Helper()
	for _, want := range want {
		if text := m.next(); text != want {
			m.t.Fatalf("the manager received %q, want %q", text, want)
		}
	}
}

// next returns the next message.
func (m *testManager) next() string {
	m.t.Helper()
	select {
	case text := <-m.texts:
		return text
	case <-time.After(timeLimit):
		m.t.Fatal("the manager received nothing within a minute")
		return ""
	}
}

// getsNoMore checks that all messages have been read.
func (m *testManager) getsNoMore() {
	m.t.Helper()
	sock := must(wire.DialNotify())
	defer scm.CloseFDs(int(sock))
	if err := wire.Notify.Send(sock, "END"); err != nil {
		m.t.Fatal(err)
	}
	m.gets("END")
}

func port(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

// MAINPID comes after going. The predecessor is replaced when the manager has processed it, and then the successor
// knows.
func TestManagerKnowsTheSuccessorBeforeThePredecessorIsReplaced(t *testing.T) {
	m := newManager(t)
	m.hold = make(chan struct{})
	a := start(t, Config{}, socketPath(t))
	m.getsNoMore()
	ready(t, a)
	m.gets("READY=1")
	s := successorOf(t, a.path)
	if !s.takesOver("0123").Main {
		t.Fatal("the predecessor will not tell the manager")
	}
	m.getsNoMore()
	s.sends(message{Type: "going"})
	pid := fmt.Sprint(os.Getpid())
	want := "MAINPID=" + pid + " WATCHDOG=1 READY=1 STATUS="
	if fd, err := s.conn.PeerPIDFD(); err == nil {
		scm.CloseFDs(fd)
		want += " MAINPIDFD=1 process " + pid
	}
	m.gets(want)
	if a.isReplaced() {
		t.Error("replaced before the manager has answered")
	}
	close(m.hold)
	s.gets("main")
	isReplaced(t, a)
	m.getsNoMore()
}

// systemd ignores MAINPID if that process has exited. It would not start another one when this process
// exits with status 0. A process that is told to end leaves the socket files to its predecessor.
func TestSuccessorExitsBeforeTheManagerKnowsIt(t *testing.T) {
	if !hasPIDFD() {
		t.Skip("the kernel has no pidfd_open(2): Linux has it from 5.3 on")
	}
	m := newManager(t)
	m.hold = make(chan struct{})
	var log logged
	w := newProcesses(t, nothing)
	a := start(t, Config{Logger: log.logger()}, w.path)
	listen(t, a, "web", "unix", w.path+".web")
	ready(t, a)
	m.gets("READY=1")
	b := w.start()
	if text := m.next(); !strings.HasPrefix(text, "MAINPID=") {
		t.Errorf("the manager received %q", text)
	}
	b.says("serving")
	b.signal(unix.SIGTERM)
	b.says("ended")
	close(m.hold)
	fdtest.Eventually(t, "it is logged", log.has("it exited as soon as it served"))
	if a.isReplaced() {
		t.Error("replaced by a process that has exited")
	}
	for _, path := range []string{w.path, w.path + ".web"} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	replaces(t, a)
}

func TestHasExitedWithoutPIDFD(t *testing.T) {
	if hasExited(-1, os.Getpid()) {
		t.Error("this process has exited")
	}
	cmd := exec.Command("sleep", "inf")
	fdtest.Must(t, cmd.Start())
	pid := cmd.Process.Pid
	_ = cmd.Process.Kill()
	fdtest.Eventually(t, "a process that was killed has exited", func() bool { return hasExited(-1, pid) })
	_ = cmd.Wait()
	if !hasExited(-1, pid) {
		t.Error("a process that was waited for has not exited")
	}
}

// A process of another unit, or one that says nothing about its unit, notifies its own manager.
func TestManagerOfAnotherUnitIsNotTold(t *testing.T) {
	for _, unit := range []string{"4567", ""} {
		m := newManager(t)
		a := startReady(t, Config{})
		m.gets("READY=1")
		t.Setenv("INVOCATION_ID", unit)
		replaces(t, a)
		m.gets("READY=1")
		m.getsNoMore()
	}
}

// Until the manager knows that a process is the main process, it ignores what the process sends.
func TestManagerIsToldNothingBeforeMain(t *testing.T) {
	m := newManager(t)
	t.Setenv("FDSTORE", "10")
	pre := newPredecessor(t)
	p, s := pre.accepts(Config{})
	l := listen(t, p, "web", "tcp", "127.0.0.1:0")
	s.letsServe(p, true)
	upgraded := upgrades(patient(t), t, p, reexec.Command("exits"))
	next := successorOf(t, p.path)
	next.sends(hello("4567"))
	fdtest.Eventually(t, "it is the turn of the successor", func() bool { return len(p.server.turn) == 1 })
	m.getsNoMore()
	s.sends(message{Type: "main"})
	next.gets("sockets")
	next.sends(message{Type: "ready"})
	next.gets("go")
	next.sends(message{Type: "going"})
	m.gets("FDSTORE=1 FDNAME=web " + port(l))
	isReplaced(t, p)
	<-upgraded
}

func TestManagerKeepsSocketsAndForgetsOthers(t *testing.T) {
	m := newManager(t)
	t.Setenv("FDSTORE", "10")
	a := start(t, Config{}, socketPath(t))
	web := listen(t, a, "web", "tcp", "127.0.0.1:0")
	metrics := listen(t, a, "metrics", "tcp", "127.0.0.1:0")
	moved := listen(t, a, "moved", "tcp", "127.0.0.1:0")
	name := filepath.Join(fdtest.ShortDir(t), "unix")
	local := listen(t, a, "local", "unix", name)
	fdtest.Must(t, a.Keep("file", os.Stdin))
	ready(t, a)
	m.gets("READY=1",
		"FDSTORE=1 FDNAME=web "+port(web),
		"FDSTORE=1 FDNAME=metrics "+port(metrics),
		"FDSTORE=1 FDNAME=moved "+port(moved),
		"FDSTORE=1 FDNAME=local "+name)

	b := start(t, Config{}, a.path)
	listen(t, b, "web", "tcp", "127.0.0.1:0")
	listen(t, b, "renamed", "tcp", metrics.Addr().String())
	moved2 := listen(t, b, "moved", "tcp", "127.0.0.2:0")
	local2 := listen(t, b, "local", "unix", name)
	ready(t, b)
	if text := m.next(); !strings.HasPrefix(text, "MAINPID=") {
		t.Errorf("the manager received %q", text)
	}
	m.gets("FDSTOREREMOVE=1 FDNAME=metrics", "FDSTOREREMOVE=1 FDNAME=moved",
		"FDSTORE=1 FDNAME=web "+port(web),
		"FDSTORE=1 FDNAME=renamed "+port(metrics),
		"FDSTORE=1 FDNAME=moved "+port(moved2),
		"FDSTORE=1 FDNAME=local "+name)
	m.getsNoMore()

	_ = local2.Close()
	_ = local.Close()
	if _, err := os.Stat(name); err != nil {
		t.Error("the manager has the socket, but its file is gone: ", err)
	}
}

// After a failed upgrade, the unit is ready again, and its status is the reason.
func TestManagerIsToldWhyAnUpgradeFailed(t *testing.T) {
	m := newManager(t)
	p := startReady(t, Config{})
	m.gets("READY=1")
	missing := exec.Command(filepath.Join(t.TempDir(), "missing"))
	for _, cmd := range []*exec.Cmd{reexec.Command("exits"), missing} {
		err := p.Upgrade(patient(t), cmd)
		if err == nil {
			t.Fatal("no error")
		}
		m.gets("RELOADING=1", "READY=1 STATUS="+strings.TrimPrefix(err.Error(), "handover: "))
	}
	err := fmt.Errorf("two\nlines %s", strings.Repeat("ü", 2*maxStatus))
	p.manager.failed(err)
	m.gets("READY=1 STATUS=two lines " + strings.Repeat("ü", maxStatus-len("two lines ")))
	m.getsNoMore()
}

// The process that was not ready in time exits later, for a reason that only its predecessor knows.
func TestManagerIsToldThatASuccessorWasTooSlow(t *testing.T) {
	m := newManager(t)
	var log logged
	p := startReady(t, Config{Logger: log.logger()})
	m.gets("READY=1")
	cmd := reexec.Command("web", p.path, "waits=yes", "timeout=1ms")
	in, err := cmd.StdinPipe()
	fdtest.Must(t, err)
	upgraded := upgrades(patient(t), t, p, cmd)
	const reason = "the successor was not ready after 1ms"
	fdtest.Eventually(t, "the predecessor does not wait any longer", log.has(reason))
	if _, err := io.WriteString(in, "ready\n"); err != nil {
		t.Error(err)
	}
	wantError(t, <-upgraded, reason)
	m.gets("RELOADING=1")
	if text := m.next(); !strings.HasPrefix(text, "READY=1 STATUS=") || !strings.Contains(text, reason) {
		t.Errorf("the manager received %q", text)
	}
	m.getsNoMore()
}

// A successor of another unit ends a reload of this one. The process that Upgrade has started leaves no descriptor
// behind when it exits.
func TestReloadEndsIfAnotherUnitTakesOver(t *testing.T) {
	noLeak(t)
	m := newManager(t)
	p := startReady(t, Config{})
	m.gets("READY=1")
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	cmd := exec.Command("sleep", "1000")
	upgraded := upgrades(ctx, t, p, cmd)
	m.gets("RELOADING=1")
	t.Setenv("INVOCATION_ID", "4567")
	replaces(t, p)
	fdtest.Must(t, <-upgraded)
	fdtest.Must(t, cmd.Process.Kill())
	texts := []string{<-m.texts, <-m.texts} // of both units, in either order
	if !slices.Equal(texts, []string{"READY=1", "READY=1"}) {
		t.Errorf("the manager received %q", texts)
	}
}

// The parent of a successor is the parent of this process, and the watchdog variable for this process is gone. The
// variables that the package needs are in its environment, also if the caller sets another one.
func TestSuccessorIsAChildOfTheManager(t *testing.T) {
	if !hasPIDFD() {
		t.Skip("the kernel has no pidfd_open(2): Linux has it from 5.3 on")
	}
	socket := newManager(t).conn.LocalAddr().String()
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "1000000")
	p := startReady(t, Config{})
	for _, c := range []struct {
		env    []string
		wanted bool // a pidfd
		want   string
	}{
		{nil, true, "  1000000 " + socket + " 0123\n"},
		{[]string{"PATH=" + os.Getenv("PATH"), "INVOCATION_ID=4567"}, false, "   " + socket + " 4567\n"},
	} {
		r, w, err := os.Pipe()
		fdtest.Must(t, err)
		cmd := exec.Command("sh", "-c", `echo "$PPID $WATCHDOG_PID $WATCHDOG_USEC $NOTIFY_SOCKET $INVOCATION_ID"; exit 3`)
		cmd.Env, cmd.Stdout = c.env, w
		pidfd := -1
		if c.wanted {
			cmd.SysProcAttr = &unix.SysProcAttr{PidFD: &pidfd, Setsid: true}
		}
		wantError(t, p.Upgrade(patient(t), cmd), errReaped.Error())
		_ = w.Close()
		text, err := io.ReadAll(r)
		_ = r.Close()
		if want := fmt.Sprint(os.Getppid()) + c.want; err != nil || string(text) != want {
			t.Errorf("the successor writes %q, %v, want %q", text, err, want)
		}
		if c.wanted && unix.Close(pidfd) != nil {
			t.Error("no pidfd")
		}
	}
	cmd := exec.Command("sleep", "1000")
	ctx, cancel := context.WithCancel(patient(t))
	upgraded := upgrades(ctx, t, p, cmd)
	cancel()
	if err := <-upgraded; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A socket that cannot be reached, whose name may have been inherited by accident, has no effect.
func TestManagerThatCannotBeReached(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	var log logged
	p := startReady(t, Config{Logger: log.logger()})
	replaces(t, p)
	if !log.has("WARN handover: cannot reach the service manager")() {
		t.Error("not logged")
	}
}

// A unit of Type=simple would end with the first process.
func TestUpgradeInAUnitThatEndsWithThisProcess(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	upgrade := func(config Config) error {
		t.Helper()
		p := startReady(t, config)
		return p.Upgrade(patient(t), reexec.Command("exits"))
	}
	t.Setenv("SYSTEMD_EXEC_PID", fmt.Sprint(os.Getppid()))
	wantError(t, upgrade(Config{}), "exit status 3") // systemd has started another process
	t.Setenv("SYSTEMD_EXEC_PID", pid)
	wantError(t, upgrade(Config{}), "set Type=notify in the unit")
	wantError(t, upgrade(Config{PIDFile: socketPath(t)}), "exit status 3") // in which systemd finds the new main process
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	wantError(t, upgrade(Config{}), "set Type=notify in the unit")
	newManager(t)
	wantError(t, upgrade(Config{}), "exited before it served")
}

// stops makes the manager stop reading until the caller closes m.hold.
func (m *testManager) stops(p *Process) {
	m.t.Helper()
	m.getsNoMore()
	m.hold = make(chan struct{})
	_ = wire.Notify.Send(p.manager.conn, "BARRIER=1")
	fdtest.Eventually(m.t, "the manager has stopped", func() bool { return unread(m.conn) == 0 })
}

// fill fills the queue of the manager.
func (m *manager) fill() {
	for wire.Notify.Send(m.conn, "BARRIER=1") == nil {
	}
}

// No method waits for a manager that does not read, which gets everything later, in order.
func TestManagerThatDoesNotRead(t *testing.T) {
	defer func(d time.Duration) { notifyTime = d }(notifyTime)
	notifyTime = timeLimit
	noLeak(t)
	m := newManager(t)
	t.Setenv("FDSTORE", "10")
	done, cancel := context.WithCancel(patient(t))
	cancel()
	exits := start(t, Config{}, socketPath(t))
	m.stops(exits)
	if err := exits.Ready(done); err != nil || unread(m.conn) == 0 {
		t.Errorf("Ready returned %v before it sent READY=1", err)
	}
	exits.manager.fill()
	a := start(t, Config{}, socketPath(t))
	web := listen(t, a, "web", "tcp", "127.0.0.1:0")
	fdtest.Must(t, a.Ready(done))
	notifyTime = time.Millisecond
	failed := a.Upgrade(patient(t), exec.Command("missing"))
	last := a.manager.last
	b := start(t, Config{}, a.path)
	ready(t, b)
	fdtest.Eventually(t, "MAINPID waits, too", func() bool {
		a.manager.mu.Lock()
		defer a.manager.mu.Unlock()
		return a.manager.last != last
	})
	close(m.hold)
	m.gets("READY=1", "READY=1", "FDSTORE=1 FDNAME=web "+port(web), "RELOADING=1", "READY=1 STATUS="+strings.TrimPrefix(fmt.Sprint(failed), "handover: "))
	if text := m.next(); !strings.HasPrefix(text, "MAINPID=") {
		t.Errorf("the manager received %q", text)
	}
	m.gets("FDSTOREREMOVE=1 FDNAME=web")

	var log logged
	c := start(t, Config{Logger: log.logger()}, socketPath(t))
	web = listen(t, c, "web", "tcp", "127.0.0.1:0")
	m.stops(c)
	c.manager.fill()
	_, _, _ = wire.Notify.Recv(m.conn) // so that the queue has space for READY=1
	ready(t, c)
	_ = web.Close() // does not wait until the manager has it
	_ = c.Close()
	<-c.manager.last
	if n := log.count("cannot notify"); n > 0 {
		t.Error("Close of the listener waited for the manager")
	}
	close(m.hold)
	m.gets("READY=1")
}

// If the kernel does not send the pidfd, systemd must know the process by its PID.
func TestMainProcessWithoutPIDFD(t *testing.T) {
	m := newManager(t)
	p := start(t, Config{}, socketPath(t))
	_ = p.manager.setMain(patient(t), os.Getpid(), 1<<20) // EBADF
	m.gets(fmt.Sprintf("MAINPID=%d WATCHDOG=1 READY=1 STATUS=", os.Getpid()))
}
