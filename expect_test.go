//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/internal/sys"
)

// sample is a file as a partner could pass it, and what it is.
type sample struct {
	name   string
	open   func() (int, error)
	kind   scm.Kind
	access string // the exact one
	words  string // what an error calls it
}

var samples = []sample{
	{"a regular file", opens("file", unix.O_RDWR), "regular", "read-write", "a regular file (read-write)"},
	{"a regular file to be read", opens("file", unix.O_RDONLY), "regular", "read-only", "a regular file (read-only)"},
	{"a regular file to be written", opens("file", unix.O_WRONLY|unix.O_APPEND), "regular", "write-only", "a regular file (write-only)"},
	{"the path of a regular file", opens("file", unix.O_PATH), "regular", "path", "a regular file (O_PATH)"},
	{"a regular file whose name is a memfd's", opens("memfd:x", unix.O_RDWR), "regular", "read-write", "a regular file (read-write)"},
	{"a regular file in memory", optional(opens("/dev/shm", unix.O_RDWR|unix.O_TMPFILE)), "regular", "read-write", "a regular file (read-write)"},
	{"a directory", opens(".", unix.O_RDONLY|unix.O_DIRECTORY), "directory", "read-only", "a directory (read-only)"},
	{"the path of a directory", opens(".", unix.O_PATH), "directory", "path", "a directory (O_PATH)"},
	{"a symbolic link", opens("link", unix.O_PATH|unix.O_NOFOLLOW), "symlink", "path", "a symbolic link (O_PATH)"},
	{"the reading end of a pipe", pipeEnd(0), "pipe", "read-only", "a pipe (read end)"},
	{"the writing end of a pipe", pipeEnd(1), "pipe", "write-only", "a pipe (write end)"},
	{"the path of a pipe", reopened(pipeEnd(0), unix.O_PATH), "pipe", "path", "a pipe (O_PATH)"},
	{"a FIFO", opens("fifo", unix.O_RDWR|unix.O_NONBLOCK), "pipe", "read-write", "a pipe (read-write)"},
	{"a Unix stream socket", socket(unix.AF_UNIX, unix.SOCK_STREAM), "socket", "read-write", "a Unix stream socket (read-write)"},
	{"a Unix datagram socket", socket(unix.AF_UNIX, unix.SOCK_DGRAM), "socket", "read-write", "a Unix datagram socket (read-write)"},
	{"a Unix seqpacket socket", socket(unix.AF_UNIX, unix.SOCK_SEQPACKET), "socket", "read-write", "a Unix seqpacket socket (read-write)"},
	{"a TCP socket", optional(socket(unix.AF_INET, unix.SOCK_STREAM)), "socket", "read-write", "an IPv4 stream socket of protocol 6 (read-write)"},
	{"a UDP socket", optional(socket(unix.AF_INET, unix.SOCK_DGRAM)), "socket", "read-write", "an IPv4 datagram socket of protocol 17 (read-write)"},
	{"a TCP socket of IPv6", optional(socket(unix.AF_INET6, unix.SOCK_STREAM)), "socket", "read-write", "an IPv6 stream socket of protocol 6 (read-write)"},
	{"the path of a socket", opens("socket", unix.O_PATH), "socket", "path", "a socket (O_PATH)"},
	{"a memfd", memfd(0), "memfd", "read-write", "a memfd (read-write) without seals"},
	{"a memfd to be read", reopened(memfd(0), unix.O_RDONLY), "memfd", "read-only", "a memfd (read-only) without seals"},
	{"a memfd with seals", memfd(unix.F_SEAL_SHRINK | unix.F_SEAL_WRITE), "memfd", "read-write",
		"a memfd (read-write) sealed against shrinking and writing"},
	{"the path of a memfd", reopened(memfd(0), unix.O_PATH), "regular", "path", "a regular file (O_PATH)"},
	{"an eventfd", func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC) }, "eventfd", "", "an eventfd ("},
	{"a pidfd", func() (int, error) { return unix.PidfdOpen(os.Getpid(), 0) }, "pidfd", "", "a pidfd ("},
	{"a timerfd", func() (int, error) { return unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC) }, "timerfd", "read-write", "a timerfd (read-write)"},
	{"an epoll", func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }, "eventpoll", "read-write", "an eventpoll (read-write)"},
	{"/dev/null", opens("/dev/null", unix.O_RDWR), "character device", "read-write", "a character device (read-write)"},
	{"the path of a block device", optional(blockDevice), "block device", "path", "a block device (O_PATH)"},
}

// kinds are those that samples have.
func kinds() []scm.Kind {
	var found []scm.Kind
	for _, s := range samples {
		if !slices.Contains(found, s.kind) {
			found = append(found, s.kind)
		}
	}
	return found
}

// opens opens a name in a folder that holds one of each.
func opens(name string, flags int) func() (int, error) {
	return func() (int, error) {
		dir := GinkgoT().TempDir()
		for _, file := range []string{"file", "memfd:x"} {
			Expect(os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600)).To(Succeed())
		}
		Expect(os.Symlink("file", filepath.Join(dir, "link"))).To(Succeed())
		Expect(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)).To(Succeed())
		if name == "socket" {
			// By a short name: those of sockets are limited.
			at, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			defer func() { _ = unix.Close(at) }()
			sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			defer func() { _ = unix.Close(sock) }()
			Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/socket", at)})).To(Succeed())
		}
		path := name
		if !filepath.IsAbs(name) {
			path = filepath.Join(dir, name)
		}
		return unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	}
}

func pipeEnd(end int) func() (int, error) {
	return func() (int, error) {
		var p [2]int
		err := unix.Pipe2(p[:], unix.O_CLOEXEC)
		if err == nil {
			_ = unix.Close(p[1-end])
		}
		return p[end], err
	}
}

func socket(family, typ int) func() (int, error) {
	return func() (int, error) { return unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0) }
}

func memfd(seals int) func() (int, error) {
	return func() (int, error) {
		fd, err := unix.MemfdCreate("sample", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err == nil && seals != 0 {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		}
		return fd, err
	}
}

// reopened opens the same file for something else.
func reopened(open func() (int, error), flags int) func() (int, error) {
	return func() (int, error) {
		fd, err := open()
		if err != nil {
			return -1, err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), flags|unix.O_CLOEXEC, 0)
	}
}

func blockDevice() (int, error) {
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return -1, err
	}
	for _, e := range entries {
		if e.Type() == os.ModeDevice {
			return unix.Open("/dev/"+e.Name(), unix.O_PATH|unix.O_CLOEXEC, 0)
		}
	}
	return -1, errors.New("there is no block device in /dev")
}

var errLack = errors.New("the machine lacks it")

// optional is for a sample that a machine may lack.
func optional(open func() (int, error)) func() (int, error) {
	return func() (int, error) {
		fd, err := open()
		if err != nil {
			err = fmt.Errorf("%w: %w", errLack, err)
		}
		return fd, err
	}
}

// open opens a sample, which the spec owns, or tells what the machine lacks.
func (f *fixture) open(s sample) (fd int, lack error) {
	GinkgoHelper()
	fd, err := s.open()
	if errors.Is(err, errLack) {
		return -1, err
	}
	Expect(err).NotTo(HaveOccurred(), s.name)
	f.Own(fd)
	return fd, nil
}

// opened is open for a spec that can do nothing without the sample.
func (f *fixture) opened(s sample) int {
	GinkgoHelper()
	fd, lack := f.open(s)
	if lack != nil {
		Skip(s.name + ": " + lack.Error())
	}
	return fd
}

// copies returns new numbers for the same descriptions, as a receive would
// bring them. The spec does not own them.
func copies(fds ...int) []int {
	GinkgoHelper()
	fresh := []int{}
	for _, fd := range fds {
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		fresh = append(fresh, d)
	}
	return fresh
}

// accepts checks that e takes files like these, and leaves them open.
func (f *fixture) accepts(e scm.Expect, fds ...int) {
	GinkgoHelper()
	got := copies(fds...)
	was := slices.Clone(got)
	Expect(e.Check(got)).To(Succeed())
	Expect(got).To(Equal(was), "numbers of what was accepted")
	for i, fd := range got {
		Expect(fdtest.Same(fd, fds[i])).To(BeTrue(), "%s was accepted and %s is there", fdtest.Name(fds[i]), fdtest.Name(fd))
		Expect(unix.Close(fd)).To(Succeed())
	}
}

// refuses checks that e does not take files like these, and closes every one.
func (f *fixture) refuses(e scm.Expect, fds ...int) *scm.ExpectError {
	GinkgoHelper()
	got := copies(fds...)
	err := e.Check(got)
	var failed *scm.ExpectError
	Expect(errors.As(err, &failed)).To(BeTrue(), "%+v of %v: %v", e, fds, err)
	Expect(failed.Err).NotTo(HaveOccurred())
	Expect(got).To(Equal(slices.Repeat([]int{-1}, len(fds))), "numbers of what was closed")
	Expect(f.Strays()).To(BeEmpty(), "refused, and left open")
	Expect(f.Lost()).To(BeEmpty(), "closed, and not refused")
	return failed
}

// single is what takes one descriptor of that kind, whatever its access.
func single(kind scm.Kind) scm.Expect {
	return scm.Expect{Min: 1, Max: 1, Kind: kind, Access: "any"}
}

var _ = Describe("Expect", func() {
	var f *fixture
	BeforeEach(func() { f = connect(unix.SOCK_SEQPACKET) })

	for _, s := range samples {
		It("tells "+s.name, func() {
			fd := f.opened(s)
			for _, kind := range append(kinds(), "") {
				if kind == s.kind || kind == "" {
					f.accepts(single(kind), fd)
					continue
				}
				failed := f.refuses(single(kind), fd)
				Expect(failed.Index).To(Equal(0))
				Expect(failed.Want).To(ContainSubstring(string(kind)[:3]))
				if s.access == "" {
					Expect(failed.Got).To(HavePrefix(s.words))
				} else {
					Expect(failed.Got).To(Equal(s.words))
				}
			}
		})

		It("tells what was opened for what: "+s.name, func() {
			fd := f.opened(s)
			exact := s.access
			if exact == "" { // systems differ
				flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
				Expect(err).NotTo(HaveOccurred())
				exact = map[int]string{unix.O_RDONLY: "read-only", unix.O_RDWR: "read-write"}[flags&unix.O_ACCMODE]
			}
			for access, takes := range map[string][]string{
				"any":        {"read-only", "write-only", "read-write", "path"},
				"":           {"read-only", "write-only", "read-write"},
				"read":       {"read-only", "read-write"},
				"write":      {"write-only", "read-write"},
				"read-write": {"read-write"},
				"read-only":  {"read-only"},
				"write-only": {"write-only"},
				"path":       {"path"},
				"raed":       nil,
			} {
				e := scm.Expect{Min: 1, Max: 1, Kind: s.kind, Access: access}
				if slices.Contains(takes, exact) {
					f.accepts(e, fd)
				} else {
					f.refuses(e, fd)
				}
			}
		})
	}

	It("tells a file whose path is too long to be told", func() {
		dir := GinkgoT().TempDir()
		at, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		name := strings.Repeat("d", 250)
		for range 20 {
			Expect(unix.Mkdirat(at, name, 0o700)).To(Succeed())
			below, err := unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(unix.Close(at)).To(Succeed())
			at = below
		}
		f.Own(at)
		fd, err := unix.Openat(at, "file", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		Expect(err).NotTo(HaveOccurred())
		f.Own(fd)
		f.accepts(single("regular"), fd)
		f.refuses(single("memfd"), fd)
	})

	// A file system in memory, at the root of a mount namespace, makes the names that the
	// kernel has for memfds.
	It("tells a file in memory whose whole path is a memfd's name", func() {
		if os.Geteuid() != 0 {
			Skip("only root can make a mount namespace here")
		}
		if lack, none := strings.CutPrefix(RunChild(ChildCommand("expect-memfd")), noNamespace); none {
			Skip(noNamespace + lack)
		}
	})

	It("tells both forms in which kernels name a pidfd, and other anonymous files", func() {
		for name, kind := range map[string]scm.Kind{
			"anon_inode:[pidfd]":     "pidfd",
			"pidfd:[1234]":           "pidfd",
			"anon_inode:[eventfd]":   "eventfd",
			"anon_inode:inotify":     "inotify",
			"pipe:[1234]":            "pipe",
			"net:[4026531833]":       "net",
			"/memfd:x (deleted)":     "",
			"/dir/anon_inode:[x]":    "",
			"/anon_inode:[eventfd]":  "",
			"/pidfd:[1234]":          "",
			"":                       "",
			"anon_inode:[perf event": "perf event",
		} {
			Expect(sys.AnonymousKind(name)).To(Equal(string(kind)), name)
		}
	})

	DescribeTable("tells sockets by family, type and protocol",
		func(family, typ, protocol int) {
			fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				Skip("there is no such socket here: " + err.Error())
			}
			f.Own(fd)
			for _, e := range []scm.Expect{
				{},
				{Family: family}, {Type: typ}, {Protocol: protocol},
				{Family: family, Type: typ, Protocol: protocol},
				{Kind: "socket", Family: family, Type: typ},
			} {
				e.Min, e.Max = 1, 1
				f.accepts(e, fd)
			}
			for _, e := range []scm.Expect{
				{Family: unix.AF_NETLINK}, {Type: unix.SOCK_RAW}, {Protocol: 255},
				{Family: unix.AF_NETLINK, Type: typ, Protocol: protocol},
				{Family: family, Type: unix.SOCK_RAW, Protocol: protocol},
				{Family: family, Type: typ, Protocol: 255},
				{Kind: "pipe", Family: family, Type: typ},
				{Kind: "socket", Seals: unix.F_SEAL_WRITE},
			} {
				e.Min, e.Max = 1, 1
				f.refuses(e, fd)
			}
		},
		Entry("Unix stream", unix.AF_UNIX, unix.SOCK_STREAM, 0),
		Entry("Unix datagram", unix.AF_UNIX, unix.SOCK_DGRAM, 0),
		Entry("Unix seqpacket", unix.AF_UNIX, unix.SOCK_SEQPACKET, 0),
		Entry("TCP", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP),
		Entry("UDP", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP),
		Entry("TCP of IPv6", unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP),
	)

	It("takes nothing but a socket where a family, type or protocol is given", func() {
		fd := f.file()
		for _, e := range []scm.Expect{{Family: unix.AF_UNIX}, {Type: unix.SOCK_STREAM}, {Protocol: unix.IPPROTO_TCP}} {
			e.Min, e.Max = 1, 1
			failed := f.refuses(e, fd)
			Expect(failed.Want).To(ContainSubstring("socket"))
			Expect(failed.Got).To(Equal("a pipe (read end)"))
		}
	})

	Describe("seals", func() {
		all := []int{unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK, unix.F_SEAL_GROW, unix.F_SEAL_WRITE}

		It("must be there, every one, and others may", func() {
			for set := range 1 << len(all) {
				fd, err := memfd(bits(all, set))()
				Expect(err).NotTo(HaveOccurred())
				f.Own(fd)
				for want := range 1 << len(all) {
					e := scm.Expect{Min: 1, Max: 1, Kind: "memfd", Seals: bits(all, want)}
					if set&want == want {
						f.accepts(e, fd)
					} else {
						f.refuses(e, fd)
					}
				}
				f.CloseNow(fd)
			}
		})

		It("are told of in words", func() {
			fd, err := memfd(unix.F_SEAL_GROW)()
			Expect(err).NotTo(HaveOccurred())
			f.Own(fd)
			for seals, words := range map[int]string{
				unix.F_SEAL_WRITE:                       "a memfd sealed against writing",
				unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK:  "a memfd sealed against shrinking and writing",
				unix.F_SEAL_SEAL | unix.F_SEAL_EXEC | 4: "a memfd sealed against more seals, growing and changes of mode",
				unix.F_SEAL_FUTURE_WRITE | 1<<20:        "a memfd sealed against future writing and 0x100000",
			} {
				failed := f.refuses(scm.Expect{Min: 1, Max: 1, Kind: "memfd", Seals: seals}, fd)
				Expect(failed.Want).To(Equal(words))
				Expect(failed.Got).To(Equal("a memfd (read-write) sealed against growing"))
			}
		})

		It("are not there on what has none", func() {
			for _, s := range samples {
				if s.kind == "memfd" {
					continue
				}
				if fd, lack := f.open(s); lack == nil {
					f.refuses(scm.Expect{Min: 1, Max: 1, Access: "any", Seals: unix.F_SEAL_SHRINK}, fd)
				}
			}
		})
	})

	Describe("the number", func() {
		for _, c := range []struct {
			min, max int
			words    string
			takes    func(n int) bool
		}{
			{0, 0, "no descriptor", func(n int) bool { return n == 0 }},
			{1, 1, "exactly 1 descriptor", func(n int) bool { return n == 1 }},
			{3, 3, "exactly 3 descriptors", func(n int) bool { return n == 3 }},
			{0, 2, "at most 2 descriptors", func(n int) bool { return n <= 2 }},
			{2, scm.MaxFDs, "at least 2 descriptors", func(n int) bool { return n >= 2 }},
			{2, 3, "at least 2 and at most 3 descriptors", func(n int) bool { return n == 2 || n == 3 }},
			{0, scm.MaxFDs, "", func(int) bool { return true }},
			{1, 0, "at least 1 and at most no descriptor", func(int) bool { return false }},
		} {
			It(fmt.Sprintf("from %d to %d", c.min, c.max), func() {
				for _, n := range []int{0, 1, 2, 3, 4, scm.MaxFDs} {
					fds := f.files(n)
					e := scm.Expect{Min: c.min, Max: c.max}
					got := map[int]string{0: "no descriptor", 1: "1 descriptor"}[n]
					if got == "" {
						got = fmt.Sprintf("%d descriptors", n)
					}
					if c.takes(n) {
						f.accepts(e, fds...)
					} else {
						failed := f.refuses(e, fds...)
						Expect(failed.Index).To(Equal(-1))
						Expect(failed.Want).To(Equal(c.words))
						Expect(failed.Got).To(Equal(got))
					}
					for _, fd := range fds {
						f.CloseNow(fd)
					}
				}
			})
		}

		It("is nothing in the zero value", func() {
			f.accepts(scm.Expect{})
			failed := f.refuses(scm.Expect{}, f.file())
			Expect(failed.Error()).To(Equal("scm: wanted no descriptor, got 1 descriptor"))
		})
	})

	It("closes all of several where one is wrong, wherever it is", func() {
		right, err := memfd(0)()
		Expect(err).NotTo(HaveOccurred())
		f.Own(right)
		wrong := f.file()
		for n := 2; n <= 5; n++ {
			for i := range n {
				fds := slices.Repeat([]int{right}, n)
				e := scm.Expect{Min: 1, Max: 5, Kind: "memfd"}
				f.accepts(e, fds...)
				fds[i] = wrong
				failed := f.refuses(e, fds...)
				Expect(failed.Index).To(Equal(i))
				text := "scm: wanted a memfd, got a pipe (read end)"
				if i > 0 {
					text += fmt.Sprintf(" at index %d", i)
				}
				Expect(failed.Error()).To(Equal(text))
			}
		}
	})

	It("refuses a number that is not open, and closes the others", func() {
		for _, bad := range []int{-1, f.closedNumber(), math.MinInt} {
			fds := append(copies(f.file()), bad)
			fds = append(fds, copies(f.file())...)
			err := scm.Expect{Min: 3, Max: 3}.Check(fds)
			var failed *scm.ExpectError
			Expect(errors.As(err, &failed)).To(BeTrue())
			Expect(failed.Index).To(Equal(1))
			Expect(err).To(MatchError(unix.EBADF))
			Expect(fds).To(HaveEach(-1))
			Expect(f.Strays()).To(BeEmpty())
		}
	})

	It("takes a number outside int32 for nobody's, and closes none for it", func() {
		if strconv.IntSize == 32 {
			Skip("int has 32 bits here: there is no such number")
		}
		upper := int64(1) << 32
		err := scm.Expect{Min: 1, Max: 1}.Check([]int{int(upper) + f.file()})
		Expect(err).To(MatchError(unix.EBADF))
		Expect(f.Lost()).To(BeEmpty())
	})

	It("looks into the table of its own thread", func() {
		RunChild(ChildCommand("own-table"))
	})

	It("does not read, move or change what it looks at", func() {
		for _, s := range samples {
			if fd, lack := f.open(s); lack == nil {
				before := state(fd)
				f.accepts(single(""), fd)
				Expect(state(fd)).To(Equal(before), s.name)
			}
		}
	})
})

// A thread that has a table of its own has another file behind the number.
var _ = Child("own-table", func([]string) {
	offMainThread(func() {
		eventfd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Unshare(unix.CLONE_FILES)).To(Succeed())
		made, err := memfd(0)()
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Dup3(made, eventfd, unix.O_CLOEXEC)).To(Succeed())
		Expect(single("memfd").Check([]int{eventfd})).To(Succeed())
		Expect(single("eventfd").Check([]int{eventfd})).NotTo(Succeed())
	})
})

// offMainThread calls f on another thread than the main one, to which
// /proc/self belongs.
func offMainThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			offMainThread(f)
			return
		}
		f()
	}()
	<-done
}

// state is what the kernel tells of an open file: offset, flags, counters.
func state(fd int) string {
	GinkgoHelper()
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// bits are those of the values that the set has.
func bits(values []int, set int) int {
	sum := 0
	for i, v := range values {
		if set&(1<<i) != 0 {
			sum |= v
		}
	}
	return sum
}

var _ = DescribeTableSubtree("Expect.Recv", func(typ int) {
	var f *fixture
	var m *scm.Message
	BeforeEach(func() {
		f = connect(typ)
		m = &scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: slices.Repeat([]int{-7}, 4)}
	})

	// refused checks that the payload came and no descriptor did.
	refused := func(err error, payload string) *scm.ExpectError {
		GinkgoHelper()
		var failed *scm.ExpectError
		Expect(errors.As(err, &failed)).To(BeTrue(), "%v", err)
		Expect(m.NFD).To(Equal(0))
		Expect(string(m.Buffers[0][:m.N])).To(Equal(payload))
		Expect(f.Strays()).To(BeEmpty(), "refused, and left open")
		isEmpty(f.b)
		return failed
	}

	It("hands over what is as expected", func() {
		sent := f.files(2)
		f.sends("x", sent...)
		Expect(scm.Expect{Min: 2, Max: 2, Kind: "pipe", Access: "read-only"}.Recv(f.b, m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent...)
		Expect(m.FDs[2:]).To(Equal([]int{-7, -7}))
		Expect(m.N).To(Equal(1))
	})

	It("closes what is of another kind, and tells of the payload", func() {
		f.sends("payload", f.a, f.file(), f.a)
		failed := refused(scm.Expect{Max: 4, Kind: "socket"}.Recv(f.b, m, 0), "payload")
		Expect(failed.Index).To(Equal(1))
		Expect(m.FDs).To(Equal([]int{-1, -1, -1, -7}))
	})

	It("closes what is too much, and what came where more was wanted", func() {
		f.sends("x", f.files(3)...)
		Expect(refused(scm.Expect{Max: 2}.Recv(f.b, m, 0), "x").Got).To(Equal("3 descriptors"))
		f.sends("y", f.file())
		Expect(refused(scm.Expect{Min: 2, Max: 2}.Recv(f.b, m, 0), "y").Got).To(Equal("1 descriptor"))
	})

	It("refuses a message without descriptors where one is wanted", func() {
		f.sends("x")
		Expect(refused(scm.Expect{Min: 1, Max: 1}.Recv(f.b, m, 0), "x").Got).To(Equal("no descriptor"))
	})

	It("refuses a message that was cut, and by option takes it", func() {
		CannotEmulate(fdtest.NotCut)
		m.FDs = m.FDs[:1]
		sent := f.files(3)
		f.sends("x", sent...)
		failed := refused(scm.Expect{Min: 1, Max: 1}.Recv(f.b, m, 0), "x")
		Expect(failed.Error()).To(Equal("scm: wanted a whole message, got 1 descriptor of a message that was cut"))
		Expect(m.Flags & unix.MSG_CTRUNC).NotTo(BeZero())

		f.sends("x", sent...)
		Expect(scm.Expect{Min: 1, Max: 1, Truncated: true}.Recv(f.b, m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent[0])

		f.sends("x", sent...)
		refused(scm.Expect{Min: 2, Max: 3, Truncated: true}.Recv(f.b, m, 0), "x")
	})

	It("goes on behind what was refused", func() {
		sent := f.file()
		e := scm.Expect{Min: 1, Max: 1, Kind: "pipe"}
		f.sends("bad", f.a)
		refused(e.Recv(f.b, m, 0), "bad")
		f.sends("good", sent)
		Expect(e.Recv(f.b, m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent)
	})

	It("closes the pidfd of a message that is refused", func() {
		supported(scm.PassPIDFD(f.b, true), "SO_PASSPIDFD, which is from Linux 6.5")
		before := pidfds()
		pidfd := -1
		m.PIDFD = &pidfd
		f.sends("x", f.a)
		refused(scm.Expect{Min: 1, Max: 1, Kind: "pipe"}.Recv(f.b, m, 0), "x")
		Expect(pidfd).To(Equal(-1))
		Expect(pidfds()).To(Equal(before))

		f.sends("x", f.a)
		Expect(scm.Expect{Min: 1, Max: 1, Kind: "socket"}.Recv(f.b, m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], f.a)
		Expect(fdtest.IsOpen(pidfd)).To(BeTrue())
		f.Own(pidfd)
	})

	It("fails as Recv where nothing is received", func() {
		failsWith(scm.Expect{Min: 1, Max: 1}.Recv(f.b, m, 0), "recvmsg", unix.EAGAIN)
		failsWith(scm.Expect{Min: 1, Max: 1}.Recv(-1, m, 0), "recvmsg", unix.EBADF)
		m.FDs = make([]int, scm.MaxFDs+1)
		Expect(scm.Expect{}.Recv(f.b, m, 0)).To(BeIdenticalTo(scm.ErrTooManyFDs))
	})

	It("holds 253 to it", func() {
		m.FDs = make([]int, scm.MaxFDs)
		e := scm.Expect{Min: scm.MaxFDs, Max: scm.MaxFDs, Kind: "pipe"}
		sent := f.files(scm.MaxFDs)
		f.sends("x", sent...)
		Expect(e.Recv(f.b, m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent...)
		sent[scm.MaxFDs-1] = f.a
		f.sends("x", sent...)
		Expect(refused(e.Recv(f.b, m, 0), "x").Index).To(Equal(scm.MaxFDs - 1))
	})
}, everyType)

var _ = Describe("Expect.Recv at the end of a stream", func() {
	It("gets no descriptor and no bytes", func() {
		f := connect(unix.SOCK_STREAM)
		f.CloseNow(f.a)
		m := scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: make([]int, 1)}
		var failed *scm.ExpectError
		Expect(errors.As(scm.Expect{Min: 1, Max: 1}.Recv(f.b, &m, 0), &failed)).To(BeTrue())
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
		Expect(scm.Expect{Max: 1}.Recv(f.b, &m, 0)).To(Succeed())
	})
})

const noNamespace = "there is no mount namespace here:"

// expect-memfd has files whose names are a memfd's.
var _ = Child("expect-memfd", func(args []string) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("scm", "/tmp", "tmpfs", 0, "")
	}
	if err != nil {
		fmt.Println(noNamespace, err)
		return
	}
	proc, err := unix.Open("/proc", unix.O_PATH|unix.O_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Mkdir("/tmp/proc", 0o700)).To(Succeed())
	Expect(unix.Mount(fmt.Sprintf("/proc/self/fd/%d", proc), "/tmp/proc", "", unix.MS_BIND|unix.MS_REC, "")).To(Succeed())
	Expect(unix.Chroot("/tmp")).To(Succeed())
	Expect(unix.Chdir("/")).To(Succeed())

	for _, unlink := range []bool{false, true} {
		fd, err := unix.Open("/memfd:x", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o777)
		Expect(err).NotTo(HaveOccurred())
		if unlink {
			Expect(unix.Unlink("/memfd:x")).To(Succeed())
		}
		name := fdtest.Name(fd)
		Expect(scm.Expect{Min: 1, Max: 1, Kind: "memfd"}.Check([]int{fd})).To(MatchError(
			"scm: wanted a memfd, got a regular file (read-write)"), name)
	}
	for _, flags := range []int{unix.MFD_CLOEXEC, unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING, unix.MFD_CLOEXEC | unix.MFD_HUGETLB, unix.MFD_CLOEXEC | unix.MFD_HUGETLB | unix.MFD_HUGE_1GB} {
		fd, err := unix.MemfdCreate("x", flags)
		if err != nil {
			fmt.Printf("no memfd of flags %#x: %v\n", flags, err)
			continue
		}
		Expect(scm.Expect{Min: 1, Max: 1, Kind: "memfd"}.Check([]int{fd})).To(Succeed())
	}
})

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
