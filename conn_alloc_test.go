//go:build linux

package scm_test

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// What a Conn allocates is what package os does for each file, one time for a file
// that is sent and two times for one that is received, and a slice of them.
var _ = DescribeTableSubtree("a Conn allocates", func(network string) {
	BeforeEach(func() {
		if hasRaceDetector() {
			Skip("with the race detector a sync.Pool forgets at random")
		}
	})

	It("nothing in Write and Read", func() {
		a, b := pair(network)
		p := make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.Write(p)
			m, err2 := b.Read(p)
			return n == 16 && err == nil && m == 16 && err2 == nil
		})).To(BeZero())
	})

	It("nothing in WriteFiles and ReadFiles without files", func() {
		a, b := pair(network)
		p := make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.WriteFiles(p)
			m, files, err2 := b.ReadFiles(p, 8)
			return n == 16 && err == nil && m == 16 && files == nil && err2 == nil
		})).To(BeZero())
	})

	It("nothing in Send and Recv", func() {
		a, b := pair(network)
		r, _ := pipe()
		fd := NumberOf(r)
		m := scm.Message{Buffers: [][]byte{make([]byte, 16)}, FDs: make([]int, 1)}
		Expect(allocations(func() bool {
			m.FDs[0] = fd
			return a.Send(&m, 0) == nil && b.Recv(&m, 0) == nil && m.NFD == 1 && closeAll(m.FDs)
		})).To(BeZero())
	})

	for _, n := range []int{1, 10, scm.MaxFDs} {
		It(fmt.Sprintf("for %d files no more than package os, and statx's name", n), func() {
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
