//go:build linux

package scm_test

import (
	"os"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A worker in an empty root has no /proc. An Expect works there, unless it needs the file's name.

var _ = Describe("in an empty root, Enforce recognizes", func() {
	for _, s := range samples {
		It(s.name+", if its kind needs no name", func() {
			f := connect(unix.SOCK_SEQPACKET)
			cmd := ChildCommand("empty-root", GinkgoT().TempDir(), s.name)
			if os.Geteuid() != 0 {
				cmd.SysProcAttr = inUserNamespace()
			}
			file := os.NewFile(uintptr(copies(f.opened(s))[0]), s.name)
			defer func() { Expect(file.Close()).To(Succeed()) }()
			cmd.ExtraFiles = []*os.File{file}
			RunChild(cmd)
		})
	}
})

// kindsByMode are the kinds that st_mode shows.
var kindsByMode = []scm.Kind{
	scm.KindDirectory, scm.KindSymlink, scm.KindPipe, scm.KindSocket, scm.KindCharDevice, scm.KindBlockDevice,
}

// empty-root checks the descriptor that it inherits after it has changed its root.
var _ = Child("empty-root", func(args []string) {
	Expect(unix.Chroot(args[0])).To(Succeed())
	Expect(unix.Chdir("/")).To(Succeed())
	s := samples[slices.IndexFunc(samples, func(s sample) bool { return s.name == args[1] })]
	received := func() []int {
		a, b, err := scm.Pair("unix")
		Expect(err).NotTo(HaveOccurred())
		Expect(a.WriteFDs([]byte("x"), 3)).To(Equal(1))
		fds := make([]int, 1)
		_, _, err = b.ReadFDs(make([]byte, 1), fds)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.Close()).To(Succeed())
		Expect(b.Close()).To(Succeed())
		return fds
	}
	takes := func(e scm.Expect) {
		fds := received()
		Expect(e.Enforce(fds)).To(Succeed(), "%+v", e)
		Expect(unix.Close(fds[0])).To(Succeed())
	}
	rejects := func(e scm.Expect) *scm.ExpectError {
		fds := received()
		fd := fds[0]
		failed := errorOf[*scm.ExpectError](e.Enforce(fds))
		Expect(fds).To(Equal([]int{-1}))
		Expect(fdtest.IsOpen(fd)).To(BeFalse())
		return failed
	}

	nameless := slices.Contains(kindsByMode, s.kind) || s.kind == scm.KindMemfd
	for _, kind := range kinds() {
		needsName := kind == scm.KindRegular || !slices.Contains(kindsByMode, kind) && kind != scm.KindMemfd
		switch {
		case kind == s.kind && !needsName:
			takes(single(kind))
		case needsName && !nameless:
			failed := rejects(single(kind))
			Expect(failed.Err).To(MatchError(unix.ENOENT))
			Expect(failed).To(MatchError(ContainSubstring("got one that could not be examined: its kind is known only by its name in /proc: ")))
		default:
			Expect(rejects(single(kind)).Err).NotTo(HaveOccurred(), "%s", kind)
		}
	}

	isPath := s.access == scm.AccessPath
	takes(scm.Expect{Max: 1, Access: scm.AccessAny})
	if isPath {
		takes(scm.Expect{Max: 1, Access: scm.AccessPath})
		Expect(rejects(scm.Expect{Max: 1}).Err).NotTo(HaveOccurred())
		return
	}
	takes(scm.Expect{Max: 1})
	Expect(rejects(scm.Expect{Max: 1, Access: scm.AccessPath}).Err).NotTo(HaveOccurred())
	if s.access != "" {
		takes(scm.Expect{Min: 1, Max: 1, Access: s.access})
	}
	append := scm.Expect{Max: 1, Access: scm.AccessAny, Flags: unix.O_APPEND}
	if fcntl(3, unix.F_GETFL, 0)&unix.O_APPEND != 0 {
		takes(append)
	} else {
		Expect(rejects(append).Err).NotTo(HaveOccurred())
	}
	switch s.kind {
	case scm.KindSocket:
		typ := ok(unix.GetsockoptInt(3, unix.SOL_SOCKET, unix.SO_TYPE))
		takes(scm.Expect{Max: 1, Type: typ})
		Expect(rejects(scm.Expect{Max: 1, Type: typ ^ unix.SOCK_STREAM ^ unix.SOCK_DGRAM}).Err).NotTo(HaveOccurred())
	case scm.KindMemfd:
		seals := fcntl(3, unix.F_GET_SEALS, 0)
		takes(scm.Expect{Max: 1, Kind: scm.KindMemfd, Seals: seals})
		takes(scm.Expect{Max: 1, Seals: seals})
		Expect(rejects(scm.Expect{Max: 1, Kind: scm.KindMemfd, Seals: seals | unix.F_SEAL_GROW}).Err).NotTo(HaveOccurred())
	}
})
