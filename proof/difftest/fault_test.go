//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"errors"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// TestFault receives into memory in which the kernel cannot write the sender's address. The kernel
// writes it after it has installed the descriptors, which both backends have to close.
func TestFault(t *testing.T) {
	nowhere, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	fdtest.Must(t, err)
	defer func() { _ = unix.Munmap(nowhere) }()
	for _, typ := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		for _, b := range backends {
			pair, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err == nil {
				err = unix.Bind(pair[0], &unix.SockaddrUnix{})
			}
			if err == nil {
				_, err = b.WriteFD(int32(pair[0]), []byte("x"), int32(pair[0]))
			}
			if err != nil {
				t.Fatalf("%s on a socket of type %d: %v", b.Name, typ, err)
			}
			before := fdtest.Take()
			got := msg.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2), Name: nowhere}
			if err := b.Recv(int32(pair[1]), &got, 0); !errors.Is(err, unix.EFAULT) || got.NFD != 0 {
				t.Errorf("%s on type %d: got %d descriptors, %v; want EFAULT", b.Name, typ, got.NFD, err)
			}
			if open := before.NewSince(); len(open) > 0 {
				t.Errorf("%s on type %d leaves open %q", b.Name, typ, open)
			}
			_, _ = unix.Close(pair[0]), unix.Close(pair[1])
		}
	}
}
