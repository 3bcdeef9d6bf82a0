//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// Whatever happens, the PID file names the process that serves.
func TestPIDFile(t *testing.T) {
	w := newProcesses(t, requests)
	path := w.path + ".pid"
	option := "pidfile=" + path
	names := func(s *webServer) {
		t.Helper()
		if text, err := os.ReadFile(path); string(text) != fmt.Sprintln(s.cmd.Process.Pid) {
			t.Errorf("the file contains %q, %v", text, err)
		}
	}
	a := w.first(option)
	names(a)
	for _, held := range []string{"go", "going"} {
		r, b := w.holds(held, option)
		if held == "going" {
			names(b)
		} else {
			names(a)
		}
		b.kill()
		r.drop()
		a.only()
		fdtest.Eventually(t, "the predecessor writes its own ID again", func() bool {
			text, _ := os.ReadFile(path)
			return string(text) == fmt.Sprintln(a.cmd.Process.Pid)
		})
	}
	w.start("pidfile="+filepath.Join(path, "missing")).says("failed", "not a directory")
	a.says("log", "did not take over", "not a directory")
	a.only()
	names(a)

	b := w.start(option)
	b.says("serving")
	names(b)
	b.only() // the predecessor has not removed the file
	names(b)
	r, c := w.holds("ready", option)
	b.kill()
	r.drop()
	c.only()
	names(c)
	w.endLoad()
	c.signal(syscall.SIGTERM)
	c.says("ended")
	files := must(filepath.Glob(w.path + "*"))
	if slices.ContainsFunc(files, func(name string) bool { return strings.HasPrefix(name, path) }) {
		t.Errorf("files remain: %q", files)
	}
}

// A file system whose server has died fails with the error of a connection that has ended.
func TestPIDFileFailsAsAConnectionDoes(t *testing.T) {
	path := socketPath(t)
	var log logged
	a := start(t, Config{Logger: log.logger()}, path)
	ready(t, a)
	createTemp = func(string, string) (*os.File, error) { return nil, syscall.ENOTCONN }
	defer func() { createTemp = os.CreateTemp }()
	b := start(t, Config{PIDFile: path + ".pid"}, path)
	if err := b.Ready(patient(t)); !errors.Is(err, syscall.ENOTCONN) {
		t.Error(err)
	}
	fdtest.Eventually(t, "the predecessor has the reason", log.has(syscall.ENOTCONN.Error()))
}

// If the file system does not respond, no method waits for long, and what was given up has no effect later.
func TestPIDFileWithoutAResponse(t *testing.T) {
	defer func(limit time.Duration) { pidFileTime, createTemp = limit, os.CreateTemp }(pidFileTime)
	responds := make(chan bool)
	createTemp = func(dir, pattern string) (*os.File, error) {
		<-responds
		return os.CreateTemp(dir, pattern)
	}
	path := socketPath(t)
	p := start(t, Config{PIDFile: path + ".pid"}, path)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Ready(done); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	responds <- true
	p.pidFile.mu.Lock() // until the write has ended
	if files := must(filepath.Glob(path + "*")); len(files) > 0 {
		t.Errorf("files remain: %q", files)
	}
	p.pidFile.mu.Unlock()
	fdtest.Must(t, unix.Mkfifo(path+".pid", 0o600))
	pidFileTime = time.Millisecond
	removed := inBackground(func() error { p.pidFile.remove(); return nil })
	fdtest.Eventually(t, "remove returns", func() bool { return len(removed) > 0 })
	err := os.WriteFile(path+".pid", fmt.Appendln(nil, os.Getpid()), 0)
	p.pidFile.mu.Lock()
	defer p.pidFile.mu.Unlock()
	if _, removed := os.Stat(path + ".pid"); err != nil || removed != nil {
		t.Error(err, removed)
	}
}

// A process that can no longer write the file logs that only if a successor, which gave up, has changed the file.
func TestPIDFileThatCannotBeRestored(t *testing.T) {
	defer func() { createTemp = os.CreateTemp }()
	for _, changed := range []bool{false, true} {
		createTemp = os.CreateTemp
		var log logged
		a := startReady(t, Config{PIDFile: socketPath(t), Logger: log.logger()})
		createTemp = func(string, string) (*os.File, error) { return nil, syscall.EACCES }
		s := successorOf(t, a.path)
		s.takesOver("")
		if changed {
			fdtest.Must(t, os.WriteFile(a.pidFile.path, []byte("1\n"), 0o600))
		}
		s.close()
		fdtest.Eventually(t, "the attempt has failed", log.has("did not take over"))
		if logged := log.has("cannot write or remove the PID file")(); logged != changed {
			t.Errorf("changed: %v, logged: %v", changed, logged)
		}
	}
}

// The successor gives up after go. When Close is called then, the predecessor no longer writes. No file remains.
func TestCloseWhileAnAttemptFails(t *testing.T) {
	defer func(limit time.Duration) { pidFileTime = limit }(pidFileTime)
	pidFileTime = 2 * timeLimit
	writes, responds := make(chan bool, 1), make(chan bool, 1)
	createTemp = func(dir, pattern string) (*os.File, error) {
		writes <- true
		<-responds
		return os.CreateTemp(dir, pattern)
	}
	defer func() { createTemp = os.CreateTemp }()
	path := socketPath(t)
	a := start(t, Config{PIDFile: path + ".pid"}, path)
	responds <- true
	ready(t, a)
	<-writes
	s := successorOf(t, path)
	s.takesOver("")
	if err := os.Remove(path + ".pid"); err != nil { // as one that cannot serve does
		t.Error(err)
	}
	s.close()
	<-writes
	closes := inBackground(a.Close)
	fdtest.Eventually(t, "the attempt has ended", func() bool { return len(a.server.turn) == 0 })
	if a.pidFile.mu.TryLock() {
		t.Error("Close does not wait for the write")
	}
	close(responds)
	if err := <-closes; err != nil {
		t.Error(err)
	}
	if files := must(filepath.Glob(path + "*")); len(files) > 0 {
		t.Errorf("files remain: %q", files)
	}
}

// In the current directory, the name of a PID file may begin with "@". Close logs why it cannot remove the file.
func TestPIDFileThatIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, want := range []int{0, 1} {
		var log logged
		p := startReady(t, Config{PIDFile: "@pid", Logger: log.logger()})
		path := filepath.Join(dir, "@pid")
		if want == 1 {
			fdtest.Must(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o700)))
		}
		t.Chdir("/")
		_ = p.Close()
		_, err := os.Stat(path)
		if n := log.count("is a directory"); n != want || (err == nil) != (want == 1) {
			t.Errorf("%d: %v; logged %q", want, err, log.lines)
		}
		t.Chdir(dir)
	}
}
