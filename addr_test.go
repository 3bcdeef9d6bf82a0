//go:build linux

package scm_test

import (
	"net"
	"strings"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// As in package net, a name that begins with "@" is abstract.

// datagram returns a new unconnected and non-blocking socket.
func (f *fixture) datagram() int {
	GinkgoHelper()
	return f.own(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
}

// bound returns a datagram socket with this name. It makes the system call itself, because x/sys rejects a path of
// 108 bytes, which the kernel accepts.
func (f *fixture) bound(name string) int {
	GinkgoHelper()
	sock := f.datagram()
	raw := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	for i := range len(name) {
		raw.Path[i] = int8(name[i])
	}
	if name[0] == '@' {
		raw.Path[0] = 0
	}
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(sock), uintptr(unsafe.Pointer(&raw)), uintptr(2+len(name)))
	Expect(errno).To(BeZero(), "bind to %q", name)
	return sock
}

// everyName returns names of every kind. The paths are relative to the working directory, which it changes to a
// temporary one until the end of the spec.
func everyName() map[string]string {
	GinkgoHelper()
	chdir(GinkgoT().TempDir())
	unique := AbstractName() + "-"
	return map[string]string{
		"a path":                      "socket",
		"a path of 107 bytes":         strings.Repeat("p", 107),
		"a path of 108 bytes, no NUL": strings.Repeat("q", 108),
		"an abstract name":            unique + "a",
		"an abstract name with NULs":  unique + "\x00b\x00",
		"an abstract name of 108 bytes, of which one is the NUL": unique + strings.Repeat("c", 108-len(unique)),
	}
}

// to returns a message of one byte with descriptors, addressed to name.
func to(name string, fds ...int) *scm.Message {
	return &scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: fds, Addr: &net.UnixAddr{Name: name}}
}

// from receives a message that to made, and returns the name of its sender.
func (f *fixture) from(sock int, sent ...int) string {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 2)}, FDs: make([]int, 2), Addr: &net.UnixAddr{Name: "stale"}}
	Expect(scm.Recv(sock, &m, 0)).To(Succeed())
	Expect([]int{m.N, m.Flags}).To(Equal([]int{1, 0}))
	f.receivedSame(m.FDs[:m.NFD], sent...)
	return m.Addr.Name
}

var _ = Describe("on datagram sockets,", func() {
	var f *fixture
	BeforeEach(func() { f = connect(unix.SOCK_DGRAM) })

	It("Addr is the destination when sending and the sender when receiving", func() {
		for kind, name := range everyName() {
			By(kind)
			a, b := f.bound(name), f.datagram()
			sent := f.file()
			Expect(scm.Send(b, to(name, sent), 0)).To(Succeed())
			Expect(f.from(a, sent)).To(BeEmpty(), "the name of a socket that has none")

			// Now in the other direction, to the address that was received.
			b = f.bound(AbstractName())
			Expect(scm.Send(b, to(name, sent), 0)).To(Succeed())
			other := f.from(a, sent)
			Expect(scm.Send(a, to(other, sent), 0)).To(Succeed())
			Expect(f.from(b, sent)).To(Equal(name))
		}
	})

	It("an address that begins with a zero byte or @ is abstract", func() {
		name, sent := UniqueName(), f.file()
		for _, tail := range []string{"", "\x00b\x00", strings.Repeat("c", 107-len(name))} {
			a, b := f.bound("@"+name+tail), f.datagram()
			Expect(scm.Send(b, to("\x00"+name+tail, sent), 0)).To(Succeed())
			f.from(a, sent)
		}
	})

	It("a received path that begins with @ is not mistaken for an abstract name", func() {
		chdir(GinkgoT().TempDir())
		name := AbstractName()
		abstract, path := f.bound(name), f.datagram()
		raw := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		for i := range len(name) {
			raw.Path[i] = int8(name[i])
		}
		_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(path), uintptr(unsafe.Pointer(&raw)), uintptr(2+len(name)+1))
		Expect(errno).To(BeZero())

		sent := f.file()
		Expect(scm.Send(path, to(name, sent), 0)).To(Succeed())
		from := f.from(abstract, sent)
		Expect(from).To(Equal("./" + name))
		Expect(scm.Send(abstract, to(from, sent), 0)).To(Succeed())
		Expect(f.from(path, sent)).To(Equal(name))
	})

	It("Send fails with EINVAL, before any system call, for an address that is too long or a path with a NUL byte", func() {
		sent := f.file()
		for _, name := range []string{
			strings.Repeat("p", 109), strings.Repeat("p", 4096), "@" + strings.Repeat("a", 108),
			"a\x00b", "\x00" + strings.Repeat("a", 108),
		} {
			// The kernel would return EBADF for -1.
			failsWith(scm.Send(-1, to(name, sent), 0), "sendmsg", unix.EINVAL)
			failsWith(scm.Send(f.a, to(name, sent), 0), "sendmsg", unix.EINVAL)
		}
		isEmpty(f.b)
	})

	It("Send returns the kernel's error for an address that has no socket, and loses no descriptor", func() {
		here := everyName()
		sent, sock := f.file(), f.datagram()
		failsWith(scm.Send(sock, to(here["a path"], sent), 0), "sendmsg", unix.ENOENT)
		failsWith(scm.Send(sock, to(here["an abstract name"], sent), 0), "sendmsg", unix.ECONNREFUSED)
		f.CloseNow(f.bound(here["a path"]))
		failsWith(scm.Send(sock, to(here["a path"], sent), 0), "sendmsg", unix.ECONNREFUSED)
		failsWith(scm.Send(sock, to("", sent), 0), "sendmsg", unix.ENOTCONN)
	})

	It("Send accepts an empty address on a connected socket, and a failed receive clears the address", func() {
		sent := f.file()
		Expect(scm.Send(f.a, to("", sent), 0)).To(Succeed())
		Expect(f.from(f.b, sent)).To(BeEmpty())
		m := to("stale")
		Expect(scm.Recv(f.b, m, 0)).To(MatchError(unix.EAGAIN))
		Expect(m.Addr.Name).To(BeEmpty())
	})

	It("Send to an address does not allocate", func() {
		name := everyName()["an abstract name"]
		a, sock, sent := f.bound(name), f.datagram(), f.file()
		m := to(name, sent)
		in := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
		Expect(allocations(func() bool {
			return scm.Send(sock, m, 0) == nil && scm.Recv(a, &in, 0) == nil && closeAll(in.FDs[:in.NFD])
		})).To(BeZero())
	})
})

var _ = Describe("Message.Addr", func() {
	It("is empty after a receive if the sender is not a Unix socket", func() {
		f := connect(unix.SOCK_DGRAM)
		sock := f.own(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
		if err := unix.Bind(sock, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			Skip("there is no loopback: " + err.Error())
		}
		self := ok(unix.Getsockname(sock))
		if err := unix.Sendto(sock, []byte("x"), 0, self); err != nil {
			Skip("there is no loopback: " + err.Error())
		}
		Expect(f.from(sock)).To(BeEmpty())
	})

	It("makes Send fail with EISCONN on a stream socket, and has no effect on a seqpacket socket", func() {
		f := connect(unix.SOCK_STREAM)
		failsWith(scm.Send(f.a, to("@scm-test-unbound", f.file()), 0), "sendmsg", unix.EISCONN)
		f.sends("x")
		Expect(f.from(f.b)).To(BeEmpty())
		f = connect(unix.SOCK_SEQPACKET)
		sent := f.file()
		Expect(scm.Send(f.a, to("@scm-test-unbound", sent), 0)).To(Succeed())
		Expect(f.from(f.b, sent)).To(BeEmpty())
	})
})

var _ = It("NewListener and NewConn report all bytes of an abstract name, also for a socket from RecvListener or RecvConn", func() {
	a, b := pair("unixpacket")
	for _, name := range []string{AbstractName() + "\x00b\x00", AbstractName()} {
		l := listen(scm.Config{}, "unix", name)
		dial("unix", name)
		server := closeLater(ok(l.AcceptUnix()))
		Expect(a.SendListener(l)).To(Succeed())
		Expect(a.SendConn(server)).To(Succeed())
		for _, at := range []net.Addr{
			ok(scm.NewListener(l.UnixListener)).Addr(), ok(scm.NewConn(server)).LocalAddr(),
			ok(scm.NewListener(closeLater(ok(b.RecvListener())))).Addr(), ok(scm.NewConn(closeLater(ok(b.RecvConn())))).LocalAddr(),
		} {
			Expect(at).To(Equal(&net.UnixAddr{Name: name, Net: "unix"}))
		}
	}
	chdir(GinkgoT().TempDir())
	f := closeLater(ok(listen(scm.Config{}, "unix", "./@path").File()))
	Expect(ok(scm.NewListener(closeLater(ok(net.FileListener(f))))).Addr().String()).To(Equal("./@path"), "not an abstract name")
})
