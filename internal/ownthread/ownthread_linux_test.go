package ownthread

import (
	"errors"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// begin calls f in a goroutine that begins on the first thread of the process, or on another one. A goroutine that
// f starts is likely to begin on the same thread as soon as f waits.
func begin(t *testing.T, onFirst bool, f func()) {
	t.Helper()
	release, done, found := make(chan struct{}), make(chan struct{}), make(chan bool)
	defer close(release)
	for range 1000 { // each goroutine takes another thread
		go func() {
			runtime.LockOSThread()
			isRight := onFirst == (unix.Gettid() == unix.Getpid())
			found <- isRight
			if !isRight {
				<-release
			}
			runtime.UnlockOSThread()
			if isRight {
				f()
				close(done)
			}
		}()
		if <-found {
			<-done
			return
		}
	}
	t.Error("no goroutine has begun on such a thread")
}

func TestRunAvoidsFirstThread(t *testing.T) {
	begin(t, true, func() {
		for range 1000 {
			Run(func() {
				if unix.Gettid() == unix.Getpid() {
					t.Error("f runs on the first thread")
				}
			})
		}
	})
}

func TestRunAvoidsParent(t *testing.T) {
	begin(t, false, func() {
		cmd := exec.Command("cat")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Error(err)
			return
		}
		runtime.LockOSThread()
		err = cmd.Start()
		isParent := hasChildren()
		runtime.UnlockOSThread()
		if err != nil || !isParent {
			t.Errorf("%v; the thread that has started a process has a child: %t", err, isParent)
			return
		}
		for range 1000 {
			Run(func() {
				if hasChildren() {
					t.Error("f runs on a thread with a child")
				}
			})
		}
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
}

// What f changes ends with its thread.
func TestRunEndsThread(t *testing.T) {
	var tid int
	Run(func() { tid = unix.Gettid() })
	for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
		runtime.Gosched()
	}
}
