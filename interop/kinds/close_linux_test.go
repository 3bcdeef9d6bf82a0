package kinds

import (
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// soon fails the test if f does not return.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not return", what)
	}
}

// A peer can make a TCP socket linger that it was passed, and fill it.
func TestCloseOfALingeringSocket(t *testing.T) {
	f := File(t, "tcp")
	if err := unix.SetsockoptLinger(f.Own, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 600}); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; {
		err = unix.Sendto(f.Own, make([]byte, 1<<16), unix.MSG_DONTWAIT, nil)
	}
	// Whoever else has the other end does not let the connection end.
	Number(t, f.Other)
	soon(t, "the close", f.Close)
	if n := witness.LateCloses(); n != 0 {
		t.Errorf("%d closes still wait", n)
	}
}

// A peer can hold an epoll locked in which it has put what it was passed: the last close
// waits for that, and no signal ends it.
func TestCloseOfAFileInALockedEpoll(t *testing.T) {
	files := []*witness.File{File(t, "pipe-r"), File(t, "pipe-r"), File(t, "pipe-r")} // closed after the server's release
	server := fusetest.Mount(t, fusetest.Options{})
	silent, err := unix.Open(server.File, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(silent) })
	t.Cleanup(server.Release) // before the close, of which the server hears
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(epoll) })
	for _, f := range files {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, f.Own, &unix.EpollEvent{Fd: int32(f.Own)}); err != nil {
			t.Fatal(err)
		}
	}
	server.Hush(fusetest.Poll)
	var locked sync.WaitGroup
	locked.Go(func() { _ = fusetest.AddToEpoll(epoll, silent) }) // it holds the epoll locked
	<-server.Waiting
	soon(t, "the close", func() {
		for _, f := range files {
			f.Close()
		}
	})
	soon(t, "the start of a child", func() {
		witness.Forking.Lock()
		defer witness.Forking.Unlock()
	})
	if n := witness.LateCloses(); n != len(files) {
		t.Errorf("%d closes still wait, not %d", n, len(files))
	}
	server.Release()
	locked.Wait()
	soon(t, "the kernel", func() {
		for witness.LateCloses() > 0 {
			time.Sleep(time.Millisecond)
		}
	})
}
