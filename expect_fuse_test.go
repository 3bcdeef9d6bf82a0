//go:build linux

package scm_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fusetest"
)

var _ = Describe("Expect of a file that a partner serves", func() {
	It("asks the kernel and not the partner", func() {
		server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
		f := connect(unix.SOCK_STREAM)
		open := func(flags int) int {
			fd, err := unix.Open(server.File, flags|unix.O_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			f.Own(fd)
			return fd
		}
		// The kernel learns that FLUSH is not served.
		fd := open(unix.O_RDWR)
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Close(copied)).To(Succeed())
		byPath := open(unix.O_PATH)
		Expect(server.Asked()).To(ContainElements(BeEquivalentTo(fusetest.Open), BeEquivalentTo(fusetest.Flush)))

		for _, fd := range []int{fd, byPath} {
			for _, kind := range kinds() {
				got := copies(fd)
				server.Asked()
				err := single(kind).Check(got)
				Expect(server.Asked()).To(BeEmpty(), "requests, of which %d is GETATTR", fusetest.Getattr)
				if kind == "regular" {
					Expect(err).NotTo(HaveOccurred())
					Expect(unix.Close(got[0])).To(Succeed())
				} else {
					Expect(err).To(HaveOccurred())
				}
			}

			var st unix.Stat_t
			Expect(unix.Fstat(fd, &st)).To(Succeed())
			Expect(server.Asked()).To(ConsistOf(BeEquivalentTo(fusetest.Getattr)), "what fstat asks for")
		}
		Expect(scm.Expect{Min: 1, Max: 1, Kind: "memfd"}.Check(copies(fd))).To(MatchError(
			"scm: wanted a memfd, got a regular file (read-write)"))
	})
})
