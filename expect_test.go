//go:build linux

package scm_test

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// sample is a file that a partner could pass, and its properties.
type sample struct {
	name   string
	open   func() (int, error)
	kind   scm.Kind
	access scm.Access // the exact access mode
}

var samples = []sample{
	{"a regular file opened for appending", opens("file", unix.O_WRONLY|unix.O_APPEND), scm.KindRegular, "write-only"},
	{"a regular file with O_DSYNC and O_NOATIME", opens("file", unix.O_WRONLY|unix.O_DSYNC|unix.O_NOATIME), scm.KindRegular, "write-only"},
	{"a regular file opened with O_PATH", opens("file", unix.O_PATH), scm.KindRegular, "path"},
	{"a directory", opens(".", unix.O_RDONLY|unix.O_DIRECTORY), scm.KindDirectory, "read-only"},
	{"a symbolic link", opens("link", unix.O_PATH|unix.O_NOFOLLOW), scm.KindSymlink, "path"},
	{"the read end of a pipe", pipeEnd(0), scm.KindPipe, "read-only"},
	{"the write end of a pipe", pipeEnd(1), scm.KindPipe, "write-only"},
	{"a Unix stream socket", socket(unix.AF_UNIX, unix.SOCK_STREAM), scm.KindSocket, "read-write"},
	{"a socket opened with O_PATH", opens("socket", unix.O_PATH), scm.KindSocket, "path"},
	{"a memfd", memfd(0), scm.KindMemfd, "read-write"},
	{"a memfd with seals", memfd(unix.F_SEAL_SHRINK | unix.F_SEAL_WRITE), scm.KindMemfd, "read-write"},
	{"a memfd that cannot grow", memfd(unix.F_SEAL_GROW), scm.KindMemfd, "read-write"},
	{"an epoll descriptor", func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }, "eventpoll", "read-write"},
	{"/dev/null", opens("/dev/null", unix.O_RDWR), scm.KindCharDevice, "read-write"},
}

// kinds are all kinds with a constant, and one other.
var kinds = []scm.Kind{
	scm.KindRegular, scm.KindDirectory, scm.KindSymlink, scm.KindPipe, scm.KindSocket, scm.KindCharDevice,
	scm.KindBlockDevice, scm.KindMemfd, scm.KindEventfd, scm.KindPIDFD, "eventpoll",
}

// opens opens a name in a directory with a file, a link to it and a socket.
func opens(name string, flags int) func() (int, error) {
	return func() (int, error) {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)).To(Succeed())
		Expect(os.Symlink("file", filepath.Join(dir, "link"))).To(Succeed())
		Expect(unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o600, 0)).To(Succeed())
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

// accepts checks that e matches a message with these files.
func (f *fixture) accepts(e scm.Expect, fds ...int) {
	GinkgoHelper()
	m, err := f.passes(e, fds)
	Expect(err).NotTo(HaveOccurred())
	Expect(m.NFD).To(Equal(len(fds)), "descriptors received")
	for i, fd := range m.FDs[:m.NFD] {
		Expect(fdtest.Same(fd, fds[i])).To(BeTrue(), "%s was sent and %s received", fdtest.Name(fds[i]), fdtest.Name(fd))
		Expect(unix.Close(fd)).To(Succeed())
	}
}

// rejects checks that e does not match a message with these files, and closes every one that was received.
func (f *fixture) rejects(e scm.Expect, fds ...int) *scm.ExpectError {
	GinkgoHelper()
	m, err := f.passes(e, fds)
	failed := errorOf[*scm.ExpectError](err)
	Expect(failed.Err).NotTo(HaveOccurred())
	Expect(m.NFD).To(Equal(0))
	Expect(m.FDs[:len(fds)]).To(Equal(slices.Repeat([]int{-1}, len(fds))), "descriptors that were closed")
	Expect(f.Strays()).To(BeEmpty(), "rejected, and left open")
	Expect(f.Lost()).To(BeEmpty(), "closed, and not rejected")
	return failed
}

// passes sends a message with these files, and receives it with e.
func (f *fixture) passes(e scm.Expect, fds []int) (m scm.Message, err error) {
	GinkgoHelper()
	f.sends("x", fds...)
	m = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, scm.MaxFDs)}
	return m, e.Recv(f.b, &m, unix.MSG_DONTWAIT)
}

// takesOnly is accepts or rejects.
func (f *fixture) takesOnly(takes bool, e scm.Expect, fds ...int) {
	GinkgoHelper()
	if takes {
		f.accepts(e, fds...)
	} else {
		f.rejects(e, fds...)
	}
}

// single accepts one descriptor of a kind, with any access mode.
func single(kind scm.Kind) scm.Expect {
	return scm.Expect{Min: 1, Max: 1, Kind: kind, Access: scm.AccessAny}
}

var _ = It("an Expect recognizes the kind and access mode of a file, and does not change the file", func() {
	f := connect(unix.SOCK_SEQPACKET)
	for _, s := range samples {
		step(s.name)
		fd := f.own(s.open())
		state := func() string { return string(ok(os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd)))) }
		before := state()
		f.accepts(single(""), fd)
		f.accepts(single(s.kind), fd)
		for access, takes := range map[scm.Access][]scm.Access{
			scm.AccessAny:       {scm.AccessReadOnly, scm.AccessWriteOnly, scm.AccessReadWrite, scm.AccessPath},
			"":                  {scm.AccessReadOnly, scm.AccessWriteOnly, scm.AccessReadWrite},
			scm.AccessRead:      {scm.AccessReadOnly, scm.AccessReadWrite},
			scm.AccessWrite:     {scm.AccessWriteOnly, scm.AccessReadWrite},
			scm.AccessReadWrite: {scm.AccessReadWrite},
			scm.AccessReadOnly:  {scm.AccessReadOnly},
			scm.AccessWriteOnly: {scm.AccessWriteOnly},
			scm.AccessPath:      {scm.AccessPath},
		} {
			f.takesOnly(slices.Contains(takes, s.access), scm.Expect{Min: 1, Max: 1, Access: access}, fd)
		}
		Expect(state()).To(Equal(before))
	}
})

var _ = It("Expect.Kind can be the name that /proc shows for an anonymous file", func() {
	f := connect(unix.SOCK_SEQPACKET)
	fd := f.own(unix.Eventfd(0, unix.EFD_CLOEXEC))
	for kind, takes := range map[scm.Kind]bool{
		"dmabuf": false, "eventfd": true, "anon_inode:eventfd": true, "anon_inode:[eventfd]": true, "anon_inode:[eventpoll]": false,
	} {
		f.takesOnly(takes, single(kind), fd)
	}
})

var _ = It("an Expect distinguishes the family, type and protocol of a socket", func() {
	f := connect(unix.SOCK_SEQPACKET)
	const family, typ, protocol = unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP
	fd, err := socket(family, typ)()
	if err != nil {
		Skip("cannot make a UDP socket: " + err.Error())
	}
	f.Own(fd)
	for e, takes := range map[scm.Expect]bool{
		{}:               true,
		{Family: family}: true, {Family: unix.AF_NETLINK}: false,
		{Type: typ}: true, {Type: unix.SOCK_RAW}: false,
		{Protocol: protocol}: true, {Protocol: 255}: false,
		{Family: family, Type: typ, Protocol: protocol}:          true,
		{Family: unix.AF_NETLINK, Type: typ, Protocol: protocol}: false,
		{Family: family, Type: unix.SOCK_STREAM}:                 false,
		{Type: typ, Protocol: 255}:                               false,
		{Kind: scm.KindSocket, Family: family, Type: typ}:        true,
	} {
		e.Min, e.Max = 1, 1
		f.takesOnly(takes, e, fd)
	}
})

var _ = It("an Expect accepts files that have at least these Seals", func() {
	f := connect(unix.SOCK_SEQPACKET)
	for has := range 16 { // F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE
		fd := f.own(memfd(has)())
		for wants := range 16 {
			f.takesOnly(has&wants == wants, scm.Expect{Min: 1, Max: 1, Kind: scm.KindMemfd, Seals: wants}, fd)
		}
		f.CloseNow(fd)
	}
})

var _ = It("an Expect accepts files that have at least these Flags", func() {
	f := connect(unix.SOCK_SEQPACKET)
	sets := []int{0, unix.O_APPEND, unix.O_SYNC, unix.O_APPEND | unix.O_NONBLOCK, unix.O_APPEND | unix.O_NONBLOCK | unix.O_SYNC}
	for _, has := range sets {
		fd := f.own(opens("file", unix.O_WRONLY|has)())
		for _, wants := range sets {
			f.takesOnly(has&wants == wants, scm.Expect{Min: 1, Max: 1, Access: scm.AccessWrite, Flags: wants}, fd)
		}
	}
})

var _ = It("an Expect accepts between Min and Max descriptors, and closes any other number of them", func() {
	f := connect(unix.SOCK_SEQPACKET)
	for words, e := range map[string]scm.Expect{
		"no descriptor":                        {},
		"exactly 1 descriptor":                 {Min: 1, Max: 1},
		"exactly 3 descriptors":                {Min: 3, Max: 3},
		"at most 2 descriptors":                {Max: 2},
		"at least 2 descriptors":               {Min: 2, Max: scm.MaxFDs},
		"at least 2 and at most 3 descriptors": {Min: 2, Max: 3},
		"any number":                           {Max: scm.MaxFDs},
	} {
		for n, got := range map[int]string{0: "no descriptor", 1: "1 descriptor", 2: "2 descriptors", 3: "3 descriptors", 4: "4 descriptors", scm.MaxFDs: "253 descriptors"} {
			fds := slices.Repeat([]int{f.a}, n)
			if e.Min <= n && n <= e.Max {
				f.accepts(e, fds...)
				continue
			}
			failed := f.rejects(e, fds...)
			Expect(failed.Index).To(Equal(-1))
			Expect(failed).To(MatchError("scm: wanted " + words + ", got " + got))
		}
	}
})

var _ = It("an Expect closes all descriptors if one does not match, whatever its index", func() {
	f := connect(unix.SOCK_SEQPACKET)
	right, wrong := ok(memfd(0)()), f.file()
	f.Own(right)
	for i, where := range []string{"", " at index 1", " at index 2"} {
		fds := []int{right, right, right}
		e := scm.Expect{Min: 3, Max: 3, Kind: scm.KindMemfd}
		f.accepts(e, fds...)
		fds[i] = wrong
		failed := f.rejects(e, fds...)
		Expect(failed.Index).To(Equal(i))
		Expect(failed).To(MatchError("scm: wanted a memfd, got a pipe (read end)" + where))
	}
})

var _ = It("Enforce closes all descriptors if one is not open, or if the Expect is invalid", func() {
	f := connect(unix.SOCK_SEQPACKET)
	bad := []int{-1, f.closedFD(), math.MinInt}
	if huge := int64(1)<<32 + int64(f.file()); strconv.IntSize == 64 {
		bad = append(bad, int(huge)) // its lower half is an open descriptor
	}
	for _, fd := range bad {
		step("descriptor ", fd)
		fds := append(copies(f.file()), fd, copies(f.file())[0])
		failed := errorOf[*scm.ExpectError](scm.Expect{Min: 3, Max: 3}.Enforce(fds))
		Expect(failed.Index).To(Equal(1))
		Expect(failed).To(MatchError(unix.EBADF))
		Expect(fds).To(HaveEach(-1))
	}
	for text, e := range invalid {
		fds := copies(f.file(), f.file())
		Expect(errorOf[*scm.ExpectError](e.Enforce(fds))).To(And(MatchError(unix.EINVAL), MatchError(text)))
		Expect(fds).To(HaveEach(-1))
	}
	Expect(f.Strays()).To(BeEmpty())
	Expect(f.Lost()).To(BeEmpty())
})

// invalid are Expects of which a field can match nothing by itself, by the text of the error.
var invalid = map[string]scm.Expect{
	"scm: Expect has a Type with flags, 0x80001":                                   {Max: 1, Type: unix.SOCK_STREAM | unix.SOCK_CLOEXEC},
	"scm: Expect has a negative Family (0), Protocol (0), Flags (0) or Seals (-1)": {Max: 1, Seals: -1},
	"scm: Expect has a negative Family (0), Protocol (0), Flags (-1) or Seals (0)": {Max: 1, Flags: -1},
	fmt.Sprintf("scm: Expect has Flags that are not status flags, %#x", unix.O_WRONLY|unix.O_CREAT): {
		Max: 1, Flags: unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND},
	fmt.Sprintf("scm: Expect has Flags that are not status flags, %#x", unix.O_PATH): {Max: 1, Flags: unix.O_PATH},
	"scm: Expect has a negative Min (-1) or Max (1)":                                 {Min: -1, Max: 1},
	"scm: Expect has a negative Min (0) or Max (-1)":                                 {Max: -1},
	"scm: Expect has an unknown Kind, \"anon_inode:[]\"":                             {Max: 1, Kind: "anon_inode:[]"},
	"scm: Expect has an unknown Kind, \"anon_inode:[regular]\"":                      {Max: 1, Kind: "anon_inode:[regular]"},
	"scm: Expect has an unknown Kind, \"anon_inode:[net]\"":                          {Max: 1, Kind: "anon_inode:[net]"},
	"scm: Expect requires at least 2 and at most 1 descriptor":                       {Min: 2, Max: 1},
	"scm: Expect requires at least 1 and at most no descriptor":                      {Min: 1},
	"scm: Expect has an unknown Kind, \"file\"":                                      {Max: 1, Kind: "file"},
	"scm: Expect has an unknown Access, \"raed\"":                                    {Max: 1, Access: "raed"},
	"scm: Expect has a Kind but Max 0":                                               {Kind: scm.KindPipe},
	"scm: Expect has an Access but Max 0":                                            {Access: scm.AccessAny},
	"scm: Expect has a Family but Max 0":                                             {Family: unix.AF_UNIX},
	"scm: Expect has a Type but Max 0":                                               {Type: unix.SOCK_STREAM},
	"scm: Expect has a Protocol but Max 0":                                           {Protocol: unix.IPPROTO_TCP},
	"scm: Expect has Flags but Max 0":                                                {Flags: unix.O_APPEND},
	"scm: Expect has Seals but Max 0":                                                {Seals: unix.F_SEAL_WRITE},
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	var m *scm.Message
	var recv func(e scm.Expect) error
	BeforeEach(func() {
		f = connect(typ)
		m = &scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: slices.Repeat([]int{-7}, 4)}
		recv = func(e scm.Expect) error { return e.Recv(f.b, m, unix.MSG_DONTWAIT) }
	})

	// rejected checks that the payload was received and no descriptor is left open.
	rejected := func(err error, payload string) *scm.ExpectError {
		GinkgoHelper()
		failed := errorOf[*scm.ExpectError](err)
		Expect(m.NFD).To(Equal(0))
		Expect(string(m.Buffers[0][:m.N])).To(Equal(payload))
		Expect(f.Strays()).To(BeEmpty(), "rejected, and left open")
		isEmpty(f.b)
		return failed
	}

	It("Expect.Recv returns the message after one that it rejected", func() {
		pipe := f.file()
		for _, c := range []struct {
			payload string
			sent    []int
			e       scm.Expect
			index   int
			text    string
		}{
			{"payload", []int{f.a, pipe, f.a}, scm.Expect{Max: 4, Kind: scm.KindSocket}, 1, "scm: wanted a socket, got a pipe (read end) at index 1"},
			{"write", []int{pipe}, scm.Expect{Max: 1, Kind: scm.KindPipe, Access: scm.AccessWrite}, 0, "scm: wanted a pipe open for writing, got a pipe (read end)"},
			{"3", f.files(3), scm.Expect{Max: 2}, -1, "scm: wanted at most 2 descriptors, got 3 descriptors"},
			{"1", []int{pipe}, scm.Expect{Min: 2, Max: 2}, -1, "scm: wanted exactly 2 descriptors, got 1 descriptor"},
			{"0", nil, scm.Expect{Min: 1, Max: 1}, -1, "scm: wanted exactly 1 descriptor, got no descriptor"},
		} {
			m.FDs = slices.Repeat([]int{-7}, 4)
			f.sends(c.payload, c.sent...)
			failed := rejected(recv(c.e), c.payload)
			Expect(failed.Index).To(Equal(c.index))
			Expect(failed).To(MatchError(c.text))
			closed := slices.Repeat([]int{-1}, len(c.sent))
			Expect(m.FDs).To(Equal(append(closed, slices.Repeat([]int{-7}, 4-len(c.sent))...)))
		}
		m.FDs = slices.Repeat([]int{-7}, 4)
		sent := f.files(2)
		f.sends("x", sent...)
		Expect(recv(scm.Expect{Min: 2, Max: 2, Kind: scm.KindPipe, Access: scm.AccessReadOnly})).To(Succeed())
		f.receivedSame(m.FDs[:m.NFD], sent...)
		Expect(m.FDs[2:]).To(Equal([]int{-7, -7}))
		Expect(m.N).To(Equal(1))
	})

	It("Expect.Recv rejects a message that lost descriptors, and the function Recv with Enforce accepts it", func() {
		CannotEmulate(fdtest.NotCut)
		m.FDs = m.FDs[:1]
		sent := f.files(3)
		for text, e := range map[string]scm.Expect{
			"": {Min: 1, Max: 1},
			"; Expect allows at most 3 descriptors, but len(m.FDs) is 1": {Max: 3},
		} {
			f.sends("x", sent...)
			Expect(rejected(recv(e), "x")).To(MatchError("scm: wanted a whole message, got a truncated one with 1 descriptor" + text))
			Expect(m.Flags & unix.MSG_CTRUNC).NotTo(BeZero())
		}
		f.sends("x", sent...)
		Expect(scm.Recv(f.b, m, unix.MSG_DONTWAIT)).To(Succeed())
		Expect(scm.Expect{Min: 1, Max: 1}.Enforce(m.FDs[:m.NFD])).To(Succeed())
		f.receivedSame(m.FDs[:m.NFD], sent[0])
	})

	if typ != unix.SOCK_STREAM {
		It("Expect.Recv rejects a message that is longer than the buffers", func() {
			m.Buffers = [][]byte{make([]byte, 3), nil, make([]byte, 5)}
			before := m.Buffers
			payload := func() string { return string(slices.Concat(m.Buffers...)) }
			rejects := func(e scm.Expect, text string) *scm.ExpectError {
				GinkgoHelper()
				failed := errorOf[*scm.ExpectError](recv(e))
				Expect(failed).To(MatchError(text))
				Expect(failed.Index).To(Equal(-1))
				Expect([]int{m.N, m.NFD}).To(Equal([]int{8, 0}))
				Expect(payload()).To(Equal("too long"))
				Expect(f.Strays()).To(BeEmpty(), "rejected, and left open")
				isEmpty(f.b)
				return failed
			}
			for _, n := range []int{0, 2} {
				f.sends("too long by 11 bytes", f.files(n)...)
				Expect(rejects(scm.Expect{Max: 4}, "scm: wanted a whole message, got only the first 8 bytes: short buffer")).To(MatchError(io.ErrShortBuffer))
			}
			f.sends("too long", f.a)
			Expect(recv(scm.Expect{Min: 1, Max: 1})).To(Succeed(), "it fits")
			f.receivedSame(m.FDs[:m.NFD], f.a)

			CannotEmulate(fdtest.NoBuffers)
			sent := f.files(2)
			m.Buffers = nil // asks for no bytes
			f.sends("too long by 11 bytes", sent...)
			Expect(recv(scm.Expect{Min: 2, Max: 2})).To(Succeed())
			f.receivedSame(m.FDs[:m.NFD], sent...)

			m.Buffers, m.FDs = before, m.FDs[:1]
			f.sends("too long by 11 bytes", sent...)
			Expect(rejects(scm.Expect{Max: 2}, "scm: wanted a whole message, got only the first 8 bytes and "+
				"1 descriptor; Expect allows at most 2 descriptors, but len(m.FDs) is 1: short buffer")).To(MatchError(io.ErrShortBuffer))
		})

		It("Expect.Recv does not mistake an empty message with lost descriptors for the end of the connection", func() {
			m.FDs = nil
			f.sends("", f.file())
			Expect(rejected(recv(scm.Expect{}), "")).To(MatchError("scm: wanted a whole message, got a truncated one with no descriptor"))
		})
	}

	It("Expect.Recv fails with EINVAL, and receives nothing, if the Expect is invalid or m.FDs is too short", func() {
		f.sends("x", f.a)
		for text, e := range invalid {
			Expect(recv(e)).To(And(MatchError(unix.EINVAL), MatchError(HaveSuffix(text))))
		}
		for capacity := range 2 {
			m.FDs = make([]int, capacity)
			Expect(recv(scm.Expect{Min: 2, Max: 3})).To(And(MatchError(unix.EINVAL),
				MatchError(HaveSuffix("scm: Expect requires at least 2 and at most 3 descriptors, but len(m.FDs) is "+strconv.Itoa(capacity)))))
		}
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
		m.FDs = make([]int, 1)
		Expect(recv(scm.Expect{Max: 1})).To(Succeed())
		f.receivedSame(m.FDs[:m.NFD], f.a)
	})

	It("Expect.Recv closes the pidfd of a message that it rejects", func() {
		supported(scm.PassPIDFD(f.b, true), "SO_PASSPIDFD, which is from Linux 6.5")
		before := pidfds()
		pidfd := -1
		m.PIDFD = &pidfd
		f.sends("x", f.a)
		rejected(recv(scm.Expect{Min: 1, Max: 1, Kind: scm.KindPipe}), "x")
		Expect(pidfd).To(Equal(-1))
		Expect(pidfds()).To(Equal(before))

		f.sends("x", f.a)
		Expect(recv(scm.Expect{Min: 1, Max: 1, Kind: scm.KindSocket})).To(Succeed())
		f.receivedSame(m.FDs[:m.NFD], f.a)
		Expect(fdtest.IsOpen(pidfd)).To(BeTrue())
		f.Own(pidfd)
	})

	It("Expect.Recv returns the same errors as scm.Recv, and io.EOF at the end of the connection", func() {
		one := scm.Expect{Min: 1, Max: 1}
		failsWith(recv(one), "recvmsg", unix.EAGAIN)
		m.FDs = make([]int, scm.MaxFDs+1)
		Expect(recv(scm.Expect{})).To(MatchError(scm.ErrTooManyFDs))
		m.FDs = m.FDs[:1]
		if typ == unix.SOCK_DGRAM {
			f.sends("")
			Expect(rejected(recv(one), "").Got).To(Equal("no descriptor"))
			return
		}
		if typ == unix.SOCK_STREAM { // with an empty buffer the end is not reported
			f.sends("x")
			m.Buffers[0] = nil
			Expect(recv(scm.Expect{})).To(Succeed())
			m.Buffers[0] = make([]byte, 1)
			Expect(recv(scm.Expect{})).To(Succeed())
		}
		f.CloseNow(f.a)
		for _, e := range []scm.Expect{one, {Max: 1}} {
			Expect(recv(e)).To(BeIdenticalTo(io.EOF))
			Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
		}
	})
}, everyType)

var _ = It("Enforce makes no request to the server of a FUSE file", func() {
	server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
	f := connect(unix.SOCK_STREAM)
	open := func(flags int) int {
		fd := f.own(unix.Open(server.File, flags|unix.O_CLOEXEC, 0))
		return fd
	}
	// The kernel finds out that the server does not support FLUSH.
	fd := open(unix.O_RDWR)
	Expect(unix.Close(copies(fd)[0])).To(Succeed())
	byPath := open(unix.O_PATH)
	Expect(server.Asked()).To(ContainElements(BeEquivalentTo(fusetest.Open), BeEquivalentTo(fusetest.Flush)))

	for _, fd := range []int{fd, byPath} {
		for _, kind := range kinds {
			got := copies(fd)
			server.Asked()
			err := single(kind).Enforce(got)
			Expect(server.Asked()).To(BeEmpty(), "requests, of which %d is GETATTR", fusetest.Getattr)
			if kind == scm.KindRegular {
				Expect(err).NotTo(HaveOccurred())
				Expect(unix.Close(got[0])).To(Succeed())
			} else {
				Expect(errorOf[*scm.ExpectError](err).Got).To(HavePrefix("a regular file ("))
			}
		}
		var st unix.Stat_t
		Expect(unix.Fstat(fd, &st)).To(Succeed())
		Expect(server.Asked()).To(ConsistOf(BeEquivalentTo(fusetest.Getattr)), "what fstat asks for")
	}
	Expect(f.rejects(single(scm.KindMemfd), fd)).To(MatchError("scm: wanted a memfd, got a regular file (read-write)"))
})
