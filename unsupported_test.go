//go:build !unix

package scm_test

import (
	"errors"
	"testing"

	"github.com/scm-rights/scm"
)

// On systems that cannot pass descriptors every call says so, whatever its
// arguments, and returns what it returns for any other error.
func TestUnsupported(t *testing.T) {
	n, err := scm.WriteFD(0, []byte("x"), 0)
	if n != -1 || !errors.Is(err, scm.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("WriteFD: %d, %v", n, err)
	}
	n, fd, err := scm.ReadFD(0, make([]byte, 1))
	if n != -1 || fd != -1 || !errors.Is(err, scm.ErrUnsupported) {
		t.Errorf("ReadFD: %d, %d, %v", n, fd, err)
	}
	for _, m := range []scm.Message{
		{},
		{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)},
		{Buffers: make([][]byte, 20), FDs: make([]int, scm.MaxFDs)},
		{FDs: make([]int, scm.MaxFDs+1)},
		{Buffers: make([][]byte, scm.MaxBuffers+1)},
	} {
		m.N, m.NFD, m.Flags = 7, 7, 7
		if err := scm.Send(0, &m, 0); !errors.Is(err, scm.ErrUnsupported) || m.N != 0 {
			t.Errorf("Send of %d buffers, %d descriptors: %v, N %d", len(m.Buffers), len(m.FDs), err, m.N)
		}
		if err := scm.Recv(0, &m, 0); !errors.Is(err, scm.ErrUnsupported) || m.N != 0 || m.NFD != 0 || m.Flags != 0 {
			t.Errorf("Recv of %d buffers, %d descriptors: %v, N %d, NFD %d, Flags %d", len(m.Buffers), len(m.FDs), err, m.N, m.NFD, m.Flags)
		}
	}
	if !errors.Is(scm.ErrTooManyFDs, scm.ErrUnsupported) || !errors.Is(scm.ErrTooManyBuffers, scm.ErrUnsupported) {
		t.Error("the limits' errors do not say that the system cannot pass descriptors")
	}
	if scm.Backend != "purego" {
		t.Errorf("backend %s", scm.Backend)
	}
}
