//go:build linux

package scm_test

import (
	"errors"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// A specimen is a file that a partner could pass, and how to open one. If a machine lacks the file (it has no
// loop device, IPv6 or CAP_NET_RAW), the test uses the description alone.
type specimen struct {
	sys.File
	open func() (int, error)
}

// specimens returns files of every kind, in every access mode that the kernel allows.
func specimens() []specimen {
	var all []specimen
	// inModes adds a file that can be opened again through /proc, in every listed access mode.
	inModes := func(f sys.File, open func() (int, error), modes ...string) {
		for _, mode := range modes {
			f.Access = mode
			flags := map[string]int{"read-only": unix.O_RDONLY, "write-only": unix.O_WRONLY, "read-write": unix.O_RDWR, "path": unix.O_PATH}[mode]
			g := f
			if mode == "path" {
				g.Seals, g.Family, g.Type, g.Protocol = 0, 0, 0, 0
			} else {
				g.Flags = unix.O_APPEND
			}
			all = append(all, specimen{g, reopened(open, flags|unix.O_NONBLOCK)})
		}
	}
	shm := opens("/dev/shm", unix.O_RDWR|unix.O_TMPFILE)
	inModes(sys.File{Kind: "regular"}, opens("file", unix.O_RDWR), "read-only", "write-only", "read-write", "path")
	inModes(sys.File{Kind: "regular", Seals: unix.F_SEAL_SEAL}, shm, "read-only", "write-only", "read-write")
	inModes(sys.File{Kind: "memfd", Seals: unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK}, memfd(unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK),
		"read-only", "write-only", "read-write")
	inModes(sys.File{Kind: "directory"}, opens(".", unix.O_RDONLY|unix.O_DIRECTORY), "read-only", "path")
	inModes(sys.File{Kind: "pipe"}, opens("fifo", unix.O_RDWR|unix.O_NONBLOCK), "read-only", "write-only", "read-write", "path")
	inModes(sys.File{Kind: "character device"}, opens("/dev/null", unix.O_RDWR), "read-only", "write-only", "read-write", "path")
	inModes(sys.File{Kind: "block device"}, blockDevice, "read-only", "path")
	inModes(sys.File{Kind: "block device"}, noDisk, "write-only", "read-write")
	for _, name := range []scm.Kind{scm.KindEventfd, scm.KindPIDFD, "timerfd"} {
		open := samples[slices.IndexFunc(samples, func(s sample) bool { return s.kind == name })].open
		all = append(all, specimen{sys.File{Kind: string(name), Access: "read-write", Flags: unix.O_APPEND}, open})
		inModes(sys.File{Kind: string(name)}, open, "path")
	}
	inModes(sys.File{Kind: "net"}, opens("/proc/self/ns/net", unix.O_RDONLY), "read-only", "path")
	all = append(all, specimen{sys.File{Kind: "symlink", Access: "path"}, opens("link", unix.O_PATH|unix.O_NOFOLLOW)})

	inModes(sys.File{Kind: "socket"}, socket(unix.AF_UNIX, unix.SOCK_STREAM), "path")
	for _, s := range [][3]int{
		{unix.AF_UNIX, unix.SOCK_STREAM, 0}, {unix.AF_UNIX, unix.SOCK_DGRAM, 0}, {unix.AF_UNIX, unix.SOCK_SEQPACKET, 0},
		{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}, {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP},
		{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, {unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP},
		{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP}, {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_UDP}, {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_MPTCP},
	} {
		for _, family := range []int{s[0], unix.AF_INET6} {
			if family != s[0] && s[0] == unix.AF_UNIX {
				continue
			}
			all = append(all, specimen{
				sys.File{Kind: "socket", Access: "read-write", Flags: unix.O_APPEND, Family: family, Type: s[1], Protocol: s[2]},
				func() (int, error) { return unix.Socket(family, s[1]|unix.SOCK_CLOEXEC, s[2]) },
			})
		}
	}
	return all
}

// noDisk is the open function for a disk that is open for writing.
func noDisk() (int, error) { return -1, errors.New("a test must not open a disk for writing") }

// exactModes are the access modes that an Access accepts.
var exactModes = map[scm.Access][]string{
	"":                  {"read-only", "write-only", "read-write"},
	scm.AccessAny:       {"read-only", "write-only", "read-write", "path"},
	scm.AccessRead:      {"read-only", "read-write"},
	scm.AccessWrite:     {"write-only", "read-write"},
	scm.AccessReadWrite: {"read-write"},
	scm.AccessReadOnly:  {"read-only"},
	scm.AccessWriteOnly: {"write-only"},
	scm.AccessPath:      {"path"},
}

// matches reports whether f matches e, according to the documentation of each field.
func matches(e scm.Expect, f sys.File) bool {
	isOr0 := func(want, got int) bool { return want == 0 || want == got }
	return (e.Kind == "" || string(e.Kind) == f.Kind) && slices.Contains(exactModes[e.Access], f.Access) &&
		isOr0(e.Family, f.Family) && isOr0(e.Type, f.Type) && isOr0(e.Protocol, f.Protocol) && f.Flags&e.Flags == e.Flags && f.Seals&e.Seals == e.Seals
}

// undecided reports whether e is accepted although no specimen matches it, because other kernels may have such a
// file.
func undecided(e scm.Expect) bool {
	switch {
	case slices.Contains([]scm.Kind{scm.KindEventfd, scm.KindPIDFD, "timerfd", "net"}, e.Kind):
		return e.Family == 0 && e.Type == 0 && e.Protocol == 0 && e.Seals == 0 // the kernel chooses their access mode
	case e.Kind == scm.KindRegular && e.Seals == unix.F_SEAL_SHRINK:
		// a tmpfs may allow sealing
		return e.Family == 0 && e.Type == 0 && e.Protocol == 0 && e.Access != scm.AccessPath
	case e.Kind == "" || e.Kind == scm.KindSocket:
		// Without a family, a protocol's number has no fixed meaning, so no type is wrong.
		ofAnyFamily := e.Family == 0 && e.Type != 0 && e.Protocol != 0
		return ofAnyFamily && e.Seals == 0 && slices.Contains(exactModes[e.Access], "read-write")
	}
	return false
}

var _ = It("Enforce fails with EINVAL for exactly the combinations of the fields of Expect that no file can match", func() {
	f := connect(unix.SOCK_SEQPACKET)
	var files []specimen
	fds := map[int]int{} // by the index in files
	for _, s := range specimens() {
		fd, err := s.open()
		if err != nil {
			GinkgoWriter.Printf("this machine lacks %+v: %v\n", s.File, err)
		} else {
			f.Own(fd)
			if s.Flags != 0 {
				fcntl(fd, unix.F_SETFL, fcntl(fd, unix.F_GETFL, 0)|s.Flags)
			}
			s.File = ok(sys.Look(fd))
			fds[len(files)] = fd
		}
		files = append(files, s)
	}

	impossible, confirmed := 0, 0
	judge := func(e scm.Expect) {
		// No message is queued: with an Expect that is accepted, the error is EAGAIN.
		err := e.Recv(f.b, &scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}, unix.MSG_DONTWAIT)
		match := func(s specimen) bool { return matches(e, s.File) }
		found := slices.IndexFunc(files, match)
		fd, here := fds[found]
		switch {
		case errors.Is(err, unix.EINVAL):
			impossible++
			Expect(found).To(Equal(-1), "%+v is EINVAL, and %+v matches it", e, files[max(found, 0)].File)
		case found < 0:
			Expect(undecided(e)).To(BeTrue(), "%+v is accepted (%v), and no file matches it", e, err)
		case here:
			confirmed++
			Expect(err).To(MatchError(unix.EAGAIN))
			f.accepts(e, fd)
		}
	}
	for _, kind := range []scm.Kind{
		"", scm.KindRegular, scm.KindDirectory, scm.KindSymlink, scm.KindPipe, scm.KindSocket, scm.KindCharDevice,
		scm.KindBlockDevice, scm.KindMemfd, scm.KindEventfd, scm.KindPIDFD, "timerfd", "net",
	} {
		for access := range exactModes {
			for _, seals := range []int{0, unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK} {
				for _, family := range []int{0, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6} {
					for _, typ := range []int{0, unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_RAW, unix.SOCK_STREAM | unix.SOCK_NONBLOCK} {
						for _, protocol := range []int{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_MPTCP} {
							for _, flags := range []int{0, unix.O_APPEND} {
								judge(scm.Expect{Min: 1, Max: 1, Kind: kind, Access: access, Flags: flags, Seals: seals, Family: family, Type: typ, Protocol: protocol})
							}
						}
					}
				}
			}
		}
	}
	GinkgoWriter.Printf("%d are EINVAL, %d accept a file that was opened\n", impossible, confirmed)
	Expect(impossible).To(BeNumerically(">", 1000))
	Expect(confirmed).To(BeNumerically(">", 100))
})
