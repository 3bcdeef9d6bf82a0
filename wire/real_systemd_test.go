//go:build linux

package wire_test

import (
	"path/filepath"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("libsystemd", Label("real"), func() {
	var libsystemd []string
	BeforeEach(func() { libsystemd = script("libsystemd.py", "systemd", "libsystemd0") })

	It("stores descriptors with sd_pid_notify_with_fds", func(ctx SpecContext) {
		f := connect("unix")
		manager := f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
		sent := f.files(3)
		Expect(runWithFDs(commandOf(ctx, libsystemd, "store", "3", "4", "5"), sent...)).To(Equal("1\n"))
		Expect(f.from(wire.Notify, manager, sent...)).To(Equal("FDSTORE=1\nFDNAME=foo"))
	}, NodeTimeout(timeout))

	It("waits in sd_notify_barrier until the receiver closes the descriptor", func(ctx SpecContext) {
		f := connect("unix")
		manager := f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
		p := begin(commandOf(ctx, libsystemd, "barrier", "20"))
		f.CloseNow(f.barrier(manager))
		Expect(exits(p, 0)).To(Equal("1\n"))
	}, NodeTimeout(timeout))

	for _, l := range listeningServices {
		It("agrees with ListenFDs in a service with "+strconv.Quote(l.variables), func(ctx SpecContext) {
			f := connect("unix")
			Expect(runWithFDs(l.service(ctx, append(libsystemd, "listen")...), f.files(2)...)).To(Equal(l.want))
		}, NodeTimeout(timeout))
	}
})
