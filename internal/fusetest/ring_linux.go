package fusetest

import (
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ringtest"
)

// BusyRing creates an io_uring whose fixed files the kernel does not show until release is called. A call that changes
// them reads the memory of a file whose server does not answer. If that is not possible, it skips the test.
func BusyRing(t testing.TB) (release func()) {
	t.Helper()
	server := Mount(t, Options{})
	ring, err := ringtest.New(1)
	if err != nil {
		t.Skip("the kernel does not permit an io_uring: ", err)
	}
	server.Hush(Read)
	file, err := unix.Open(server.File, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	page, err := unix.Mmap(file, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE)
	fdtest.Must(t, errors.Join(err, unix.Close(file)))
	done := make(chan error)
	go func() { done <- ringtest.Put(ring, 0, (*int32)(unsafe.Pointer(&page[0]))) }()
	<-server.Waiting
	t.Cleanup(func() { fdtest.Must(t, errors.Join(unix.Munmap(page), unix.Close(ring))) })
	return func() {
		server.Release()
		if err := <-done; err == nil {
			t.Error("the call has read a file of which the server sends nothing")
		}
	}
}
