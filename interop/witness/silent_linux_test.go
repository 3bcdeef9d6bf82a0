package witness

import (
	"os"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fusetest"
	"golang.org/x/sys/unix"
)

// A peer's own file system that does not answer holds nothing up.
func TestSilentFile(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	fd, err := unix.Open(server.File, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	t.Cleanup(server.Release) // before the close, of which the server hears
	server.Hush(fusetest.Getattr)
	done := make(chan error, 1)
	go func() {
		_, err := Identify(os.Getpid(), fd)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-server.Waiting:
		t.Error("the server was asked")
	case <-time.After(time.Minute):
		t.Error("no answer")
	}
}
