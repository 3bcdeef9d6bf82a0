//go:build linux

package scm_test

import (
	"fmt"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// allocations is how many a call of run makes. Failures are counted and not
// asserted in the loop, because asserting allocates.
func allocations(run func() bool) float64 {
	GinkgoHelper()
	failures := 0
	n := testing.AllocsPerRun(200, func() {
		if !run() {
			failures++
		}
	})
	Expect(failures).To(BeZero(), "calls that failed")
	return n
}

func closeAll(fds []int) bool {
	ok := true
	for _, fd := range fds {
		ok = unix.Close(fd) == nil && ok
	}
	return ok
}

var _ = DescribeTableSubtree("no allocation", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("in the pair, with buffers on the stack", func() {
		fd := f.file()
		Expect(allocations(func() bool {
			var out, in [16]byte
			if n, err := scm.WriteFD(f.a, out[:], fd); n != 16 || err != nil {
				return false
			}
			n, got, err := scm.ReadFD(f.b, in[:])
			return n == 16 && err == nil && unix.Close(got) == nil
		})).To(BeZero())
	})

	It("in the pair, where no descriptor comes", func() {
		Expect(allocations(func() bool {
			var out, in [16]byte
			bufs := [1][]byte{out[:]}
			m := scm.Message{Buffers: bufs[:]}
			if scm.Send(f.a, &m, 0) != nil {
				return false
			}
			n, got, err := scm.ReadFD(f.b, in[:])
			return n == 16 && err == nil && got == -1
		})).To(BeZero())
	})

	for _, n := range []int{0, 1, 2, 253} {
		It(fmt.Sprintf("in messages with %d descriptors, everything on the stack", n), func() {
			fd := f.file()
			Expect(allocations(func() bool {
				var out, in [16]byte
				var sent, received [scm.MaxFDs]int
				for i := range n {
					sent[i] = fd
				}
				bufs := [1][]byte{out[:]}
				m := scm.Message{Buffers: bufs[:], FDs: sent[:n]}
				if scm.Send(f.a, &m, 0) != nil {
					return false
				}
				bufs[0] = in[:]
				m = scm.Message{Buffers: bufs[:], FDs: received[:n]}
				err := scm.Recv(f.b, &m, 0)
				return err == nil && m.NFD == n && closeAll(m.FDs[:m.NFD])
			})).To(BeZero())
		})
	}

	for _, n := range []int{2, 8} {
		It(fmt.Sprintf("in messages of %d buffers on the stack", n), func() {
			fd := f.file()
			Expect(allocations(func() bool {
				var out, in [8][16]byte
				var bufs [8][]byte
				fds := [1]int{fd}
				for i := range n {
					bufs[i] = out[i][:]
				}
				m := scm.Message{Buffers: bufs[:n], FDs: fds[:]}
				if scm.Send(f.a, &m, 0) != nil {
					return false
				}
				for i := range n {
					bufs[i] = in[i][:]
				}
				err := scm.Recv(f.b, &m, 0)
				return err == nil && m.N == 16*n && closeAll(m.FDs[:m.NFD])
			})).To(BeZero())
		})
	}

	It("in a truncated receive", func() {
		CannotEmulate(fdtest.NotCut)
		fd := f.file()
		Expect(allocations(func() bool {
			var p [1]byte
			fds := [4]int{fd, fd, fd, fd}
			bufs := [1][]byte{p[:]}
			m := scm.Message{Buffers: bufs[:], FDs: fds[:]}
			if scm.Send(f.a, &m, 0) != nil {
				return false
			}
			m.FDs = fds[:2]
			err := scm.Recv(f.b, &m, 0)
			return err == nil && m.Flags == unix.MSG_CTRUNC && m.NFD == 2 && closeAll(m.FDs)
		})).To(BeZero())
	})
}, everyType)
