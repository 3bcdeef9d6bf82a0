//go:build linux

package scm_test

import (
	"os"
	"runtime/debug"
	"slices"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// allocations returns the number of allocations of a call of run. The loop only counts failures, because an assertion
// allocates.
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

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("WriteFD and ReadFD do not allocate if the buffers are on the stack", func() {
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

	It("ReadFD does not allocate if it receives no descriptor", func() {
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

	for _, c := range []struct{ buffers, fds int }{{1, 0}, {1, 1}, {1, 2}, {1, scm.MaxFDs}, {2, 1}, {8, 1}} {
		It("Send and Recv do not allocate for "+Count(c.buffers, "buffer")+" and "+Count(c.fds, "descriptor")+" on the stack", func() {
			fd := f.file()
			Expect(allocations(func() bool {
				var out, in [8][16]byte
				var bufs [8][]byte
				var sent, received [scm.MaxFDs]int
				for i := range c.fds {
					sent[i] = fd
				}
				for i := range c.buffers {
					bufs[i] = out[i][:]
				}
				m := scm.Message{Buffers: bufs[:c.buffers], FDs: sent[:c.fds]}
				if scm.Send(f.a, &m, 0) != nil {
					return false
				}
				for i := range c.buffers {
					bufs[i] = in[i][:]
				}
				m = scm.Message{Buffers: bufs[:c.buffers], FDs: received[:c.fds]}
				err := scm.Recv(f.b, &m, 0)
				return err == nil && m.N == 16*c.buffers && m.NFD == c.fds && closeAll(m.FDs[:m.NFD])
			})).To(BeZero())
		})
	}

	It("Recv does not allocate if the kernel truncates the control data", func() {
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

// For each file, a Conn allocates as much as package os: once for a file that it sends, and twice for one that it
// receives. It also allocates a slice of the received files.
var _ = DescribeTableSubtree("on", func(network string) {
	BeforeEach(func() {
		if hasRaceDetector() {
			Skip("with the race detector a sync.Pool forgets at random")
		}
	})

	It("Conn.Write and Conn.Read do not allocate", func() {
		a, b := pair(network)
		p := make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.Write(p)
			m, err2 := b.Read(p)
			return n == 16 && err == nil && m == 16 && err2 == nil
		})).To(BeZero())
	})

	It("WriteFiles and ReadFiles do not allocate if they pass no files", func() {
		a, b := pair(network)
		p := make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.WriteFiles(p)
			m, files, err2 := b.ReadFiles(p, 8)
			return n == 16 && err == nil && m == 16 && files == nil && err2 == nil
		})).To(BeZero())
	})

	It("Conn.Send and Conn.Recv do not allocate", func() {
		a, b := pair(network)
		r, _ := pipe()
		fd := FDOf(r)
		m := scm.Message{Buffers: [][]byte{make([]byte, 16)}, FDs: make([]int, 1)}
		Expect(allocations(func() bool {
			m.FDs[0] = fd
			return a.Send(&m, 0) == nil && b.Recv(&m, 0) == nil && m.NFD == 1 && closeAll(m.FDs)
		})).To(BeZero())
	})

	It("WriteFDs and ReadFDs do not allocate if the descriptors are on the stack", func() {
		a, b := pair(network)
		r, _ := pipe()
		fd, p := FDOf(r), make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.WriteFDs(p, fd, fd)
			var fds [4]int
			m, nfd, err2 := b.ReadFDs(p, fds[:])
			ok := n == 16 && err == nil && m == 16 && nfd == 2 && err2 == nil
			scm.CloseFDs(fds[:nfd]...)
			return ok
		})).To(BeZero())
	})

	for _, n := range []int{1, 10, scm.MaxFDs} {
		It("passing "+Count(n, "file")+" allocates nothing beyond what package os allocates and the path for statx", func() {
			a, b := pair(network)
			r, _ := pipe()
			files := make([]*os.File, n)
			for i := range files {
				files[i] = r
			}
			p := make([]byte, 1)
			Expect(allocations(func() bool {
				_, err := a.WriteFiles(p, files...)
				n, err2 := b.Read(p)
				return err == nil && n == 1 && err2 == nil
			})).To(BeNumerically("==", n), "to send them")

			Expect(allocations(func() bool {
				_, err := a.WriteFiles(p, files...)
				_, received, err2 := b.ReadFiles(p, n)
				for _, f := range received {
					_ = f.Close()
				}
				return err == nil && err2 == nil && len(received) == n
			})).To(BeNumerically("<=", n+3*n+2), "to send and receive them")
		})
	}
}, everyNetwork)

func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
