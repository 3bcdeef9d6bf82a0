//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/internal/sys"
)

func self() scm.Cred {
	return scm.Cred{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}
}

// supported skips the spec if the kernel lacks what the call asked for.
func supported(err error, what string) {
	GinkgoHelper()
	if errors.Is(err, scm.ErrUnsupported) {
		Skip("this kernel has no " + what + ": " + err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
}

// badSockets checks what a call says of numbers that are no sockets.
func (f *fixture) badSockets(name string, call func(sock int) error) {
	GinkgoHelper()
	failsWith(call(-1), name, unix.EBADF)
	failsWith(call(f.closedNumber()), name, unix.EBADF)
	failsWith(call(f.file()), name, unix.ENOTSOCK)
	if strconv.IntSize == 64 {
		upper := int64(1) << 32
		failsWith(call(int(upper)+f.a), name, unix.EBADF)
	}
}

// named is a listening socket, by a name that the kernel chose.
func (f *fixture) named(typ int) (sock int, name string) {
	GinkgoHelper()
	sock, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	Expect(err).NotTo(HaveOccurred())
	f.Own(sock)
	Expect(unix.Bind(sock, &unix.SockaddrUnix{})).To(Succeed())
	Expect(unix.Listen(sock, 8)).To(Succeed())
	addr, err := unix.Getsockname(sock)
	Expect(err).NotTo(HaveOccurred())
	return sock, addr.(*unix.SockaddrUnix).Name
}

func (f *fixture) accept(listening int) int {
	GinkgoHelper()
	sock, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	Expect(err).NotTo(HaveOccurred())
	f.Own(sock)
	return sock
}

func connectTo(typ int, name string) int {
	GinkgoHelper()
	sock, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Connect(sock, &unix.SockaddrUnix{Name: name})).To(Succeed())
	return sock
}

// A child that connects to a socket by name, tells its PID and waits for the
// end of its standard input. With another argument it takes that user's place
// once it is connected.
var _ = Child("connect", func(args []string) {
	typ, err := strconv.Atoi(args[0])
	Expect(err).NotTo(HaveOccurred())
	sock := connectTo(typ, args[1])
	Expect(unix.Sendto(sock, []byte("x"), 0, nil)).To(Succeed())
	if len(args) > 2 {
		uid, err := strconv.Atoi(args[2])
		Expect(err).NotTo(HaveOccurred())
		Expect(syscall.Setresuid(uid, uid, uid)).To(Succeed()) // of every thread
		Expect(os.Geteuid()).To(Equal(uid))
	}
	fmt.Println(os.Getpid())
	_, err = os.Stdin.Read(make([]byte, 1))
	Expect(err).To(HaveOccurred())
})

// connected starts that child, and waits until it is connected. It lives until
// end is called.
func connected(cmd *exec.Cmd) (pid int, end func()) {
	GinkgoHelper()
	stdin, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	stdout, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	Expect(cmd.Start()).To(Succeed())
	waited := false
	end = func() {
		GinkgoHelper()
		if !waited {
			waited = true
			_ = stdin.Close()
			Expect(cmd.Wait()).To(Succeed(), "standard error: %s", &stderr)
		}
	}
	DeferCleanup(end)
	_, err = fmt.Fscanln(stdout, &pid)
	Expect(err).NotTo(HaveOccurred(), "standard error: %s", &stderr)
	Expect(pid).To(Equal(cmd.Process.Pid))
	return pid, end
}

// asStranger makes a child another user, whom nobody else is.
func asStranger(cmd *exec.Cmd) (id int) {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("only root can be another user")
	}
	if err := ReadableByOthers(); err != nil {
		Skip("another user may not run the test binary: " + err.Error())
	}
	id = 1<<30 + os.Getpid()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id + 1)}}
	return id
}

// needsAccepted skips the spec where SO_PEERCRED of an accepted socket is wrong.
func needsAccepted(typ int) {
	GinkgoHelper()
	if typ == unix.SOCK_SEQPACKET && fdtest.OnGVisor() {
		Skip("gVisor tells who accepted a seqpacket connection, and not who made it")
	}
}

var everyConnected = []TableEntry{
	Entry("stream", unix.SOCK_STREAM),
	Entry("seqpacket", unix.SOCK_SEQPACKET),
}

var _ = DescribeTableSubtree("PeerCred", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("is who made the pair", func() {
		Expect(scm.PeerCred(f.a)).To(Equal(self()))
		Expect(scm.PeerCred(f.b)).To(Equal(self()))
	})

	It("fails by errno", func() {
		f.badSockets("getsockopt", func(sock int) error {
			cred, err := scm.PeerCred(sock)
			Expect(cred).To(Equal(scm.Cred{PID: 0, UID: -1, GID: -1}))
			return err
		})
	})

	It("is ENOTCONN where there is no peer", func() {
		for _, family := range []int{unix.AF_UNIX, unix.AF_INET} {
			sock, err := socket(family, typ)()
			if err != nil {
				continue // of TCP and seqpacket there is none
			}
			f.Own(sock)
			cred, err := scm.PeerCred(sock)
			if family == unix.AF_INET && errors.Is(err, unix.EINVAL) {
				continue // gVisor's word for it
			}
			failsWith(err, "getsockopt", unix.ENOTCONN)
			Expect(cred).To(Equal(scm.Cred{PID: 0, UID: -1, GID: -1}))
		}
	})
}, everyType)

var _ = DescribeTableSubtree("the peer that connected", func(typ int) {
	var f *fixture
	var listening int
	var cmd *exec.Cmd
	BeforeEach(func() {
		needsAccepted(typ)
		f = connect(typ)
		var name string
		listening, name = f.named(typ)
		cmd = ChildCommand("connect", strconv.Itoa(typ), name)
	})

	It("is told by PeerCred, whoever accepts, and after its end", func() {
		pid, end := connected(cmd)
		want := scm.Cred{PID: pid, UID: os.Geteuid(), GID: os.Getegid()}
		sock := f.accept(listening)
		Expect(scm.PeerCred(sock)).To(Equal(want))
		end()
		Expect(scm.PeerCred(sock)).To(Equal(want))
	})

	It("is told by PeerCred if it is another user", func() {
		id := asStranger(cmd)
		pid, _ := connected(cmd)
		Expect(scm.PeerCred(f.accept(listening))).To(Equal(scm.Cred{PID: pid, UID: id, GID: id + 1}))
	})

	It("is told by PeerCred as the user that it was when it connected", func() {
		if os.Geteuid() != 0 {
			Skip("only root can become another user")
		}
		cmd.Args = append(cmd.Args, strconv.Itoa(1<<30+os.Getpid()))
		pid, _ := connected(cmd)
		Expect(scm.PeerCred(f.accept(listening))).To(Equal(scm.Cred{PID: pid, UID: 0, GID: os.Getegid()}))
	})

	It("is not told anew when the socket is passed on", func() {
		pid, _ := connected(cmd)
		sock := f.accept(listening)
		f.sends("x", sock)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		f.takes(m.FDs, sock)
		cred, err := scm.PeerCred(m.FDs[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(cred.PID).To(Equal(pid))
	})

	It("has the listener for a peer", func() {
		_, name := f.named(typ)
		sock := connectTo(typ, name)
		f.Own(sock)
		Expect(scm.PeerCred(sock)).To(Equal(self()))
	})

	It("is the listener itself for a socket that listens", func() {
		Expect(scm.PeerCred(listening)).To(Equal(self()))
		pidfd, err := scm.PeerPIDFD(listening)
		supported(err, "SO_PEERPIDFD, which is from Linux 6.5")
		f.Own(pidfd)
		Expect(state(pidfd)).To(MatchRegexp(`(?m)^Pid:\s+%d$`, os.Getpid()))
	})

	It("is what PeerPIDFD stands for", func() {
		pid, end := connected(cmd)
		sock := f.accept(listening)
		pidfd, err := scm.PeerPIDFD(sock)
		supported(err, "SO_PEERPIDFD, which is from Linux 6.5")
		f.Own(pidfd)
		Expect(fdtest.CloseOnExec(pidfd)).To(BeTrue())
		Expect(state(pidfd)).To(MatchRegexp(`(?m)^Pid:\s+%d$`, pid))
		Expect(unix.PidfdSendSignal(pidfd, 0, nil, 0)).To(Succeed())
		end()
		Expect(unix.PidfdSendSignal(pidfd, 0, nil, 0)).To(MatchError(unix.ESRCH))
	})
}, everyConnected)

var _ = Describe("PeerPIDFD", func() {
	var f *fixture
	BeforeEach(func() { f = connect(unix.SOCK_STREAM) })

	It("fails by errno, and opens nothing", func() {
		before := fdtest.Take()
		f.badSockets("getsockopt", func(sock int) error {
			pidfd, err := scm.PeerPIDFD(sock)
			Expect(pidfd).To(Equal(-1))
			return err
		})
		Expect(pidfdsIn(before.NewSince())).To(BeEmpty())
	})

	It("is ENODATA where there is no peer", func() {
		sock, err := socket(unix.AF_UNIX, unix.SOCK_STREAM)()
		Expect(err).NotTo(HaveOccurred())
		f.Own(sock)
		pidfd, err := scm.PeerPIDFD(sock)
		Expect(pidfd).To(Equal(-1))
		if errors.Is(err, scm.ErrUnsupported) {
			supported(err, "SO_PEERPIDFD, which is from Linux 6.5")
		}
		failsWith(err, "getsockopt", unix.ENODATA)
	})
})

func pidfdsIn(names []string) []string {
	var found []string
	for _, name := range names {
		if strings.Contains(name, "pidfd") {
			found = append(found, name)
		}
	}
	return found
}

var _ = DescribeTableSubtree("PassCred", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("brings the sender's credentials, and no longer once it is off", func() {
		for _, on := range []bool{true, true, false, false, true} {
			Expect(scm.PassCred(f.b, on)).To(Succeed())
			f.sends("x")
			cred := scm.Cred{PID: 7}
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}
			Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
			if on {
				Expect(cred).To(Equal(self()))
			} else {
				Expect(cred).To(Equal(scm.Cred{PID: 0, UID: -1, GID: -1}))
			}
		}
	})
}, everyType)

var _ = DescribeTableSubtree("PassPIDFD", func(typ int) {
	It("brings a pidfd of the sender, and no longer once it is off", func() {
		f := connect(typ)
		before := pidfds()
		supported(scm.PassPIDFD(f.b, true), "SO_PASSPIDFD, which is from Linux 6.5")
		for _, on := range []bool{true, true, false, false, true} {
			Expect(scm.PassPIDFD(f.b, on)).To(Succeed())
			f.sends("x")
			pidfd := 7
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, PIDFD: &pidfd}
			Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
			if on {
				Expect(state(pidfd)).To(MatchRegexp(`(?m)^Pid:\s+%d$`, os.Getpid()))
				Expect(fdtest.CloseOnExec(pidfd)).To(BeTrue())
				Expect(unix.Close(pidfd)).To(Succeed())
			}
			Expect(pidfds()).To(Equal(before))
		}
	})
}, everyType)

var _ = DescribeTableSubtree("PassRights", func(typ int) {
	var f *fixture
	off := func(sock int) {
		GinkgoHelper()
		supported(scm.PassRights(sock, false), "SO_PASSRIGHTS, which is from Linux 6.16")
	}
	BeforeEach(func() { f = connect(typ) })

	It("off is EPERM for who sends descriptors, and plain data passes", func() {
		off(f.b)
		fd := f.file()
		writeFails(f.a, []byte("x"), fd, unix.EPERM)
		sendFails(f.a, "x", unix.EPERM, fd, fd)
		isEmpty(f.b)
		f.sends("plain")
		f.receives(8, 1, 0, "plain", 0)
	})

	It("off leaves what was queued, and on again lets more come", func() {
		first, second := f.file(), f.file()
		f.sends("x", first)
		off(f.b)
		sendFails(f.a, "y", unix.EPERM, second)
		f.receives(8, 1, 0, "x", 0, first)
		Expect(scm.PassRights(f.b, true)).To(Succeed())
		f.sends("y", second)
		f.receives(8, 1, 0, "y", 0, second)
	})

	It("off on the sender's socket has no effect", func() {
		off(f.a)
		fd := f.file()
		f.sends("x", fd)
		f.receives(8, 1, 0, "x", 0, fd)
	})

	It("off is for descriptors only: credentials pass", func() {
		off(f.b)
		Expect(scm.PassCred(f.b, true)).To(Succeed())
		cred := self()
		Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("x")}, Cred: &cred}, 0)).To(Succeed())
		var got scm.Cred
		Expect(scm.Recv(f.b, &scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &got}, 0)).To(Succeed())
		Expect(got).To(Equal(cred))
	})
}, everyType)

var _ = DescribeTableSubtree("PassRights off on a listening socket", func(typ int) {
	It("holds for what connects, before and after it is accepted", func() {
		f := connect(typ)
		listening, name := f.named(typ)
		supported(scm.PassRights(listening, false), "SO_PASSRIGHTS, which is from Linux 6.16")
		client := connectTo(typ, name)
		f.Own(client)
		fd := f.file()
		writeFails(client, []byte("x"), fd, unix.EPERM)
		server := f.accept(listening)
		writeFails(client, []byte("x"), fd, unix.EPERM)
		Expect(scm.PassRights(server, true)).To(Succeed())
		Expect(scm.WriteFD(client, []byte("x"), fd)).To(Equal(1))
		_, got, err := scm.ReadFD(server, make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		f.takes([]int{got}, fd)
	})
}, everyConnected)

var _ = DescribeTableSubtree("an accepted socket", func(typ int) {
	It("gets the sender's credentials of what was sent before it was accepted", func() {
		if fdtest.OnGVisor() {
			Skip("gVisor is not Linux in what it puts beside a message")
		}
		f := connect(typ)
		listening, name := f.named(typ)
		client := connectTo(typ, name)
		f.Own(client)
		Expect(unix.Sendto(client, []byte("x"), 0, nil)).To(Succeed())
		sock := f.accept(listening)
		Expect(scm.PassCred(sock, true)).To(Succeed())
		var cred scm.Cred
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}
		Expect(scm.Recv(sock, &m, 0)).To(Succeed())
		Expect(cred).To(Equal(self()))
	})

	for _, o := range []struct {
		name   string
		option int
		set    func(sock int, on bool) error
		on     bool // what is not the default
	}{
		{"PassCred", sys.OptionPassCred, scm.PassCred, true},
		{"PassPIDFD", sys.OptionPassPIDFD, scm.PassPIDFD, true},
		{"PassRights", sys.OptionPassRights, scm.PassRights, false},
	} {
		It("has what the listening one had when the client connected, and can be set: "+o.name, func() {
			if fdtest.OnGVisor() {
				Skip("gVisor is not Linux in what an accepted socket has")
			}
			f := connect(typ)
			is := func(sock int) bool {
				GinkgoHelper()
				value, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, o.option)
				Expect(err).NotTo(HaveOccurred())
				return value != 0
			}
			listening, name := f.named(typ)
			f.Own(connectTo(typ, name))
			supported(o.set(listening, o.on), "option for "+o.name)
			f.Own(connectTo(typ, name))
			before, after := f.accept(listening), f.accept(listening)
			Expect(is(before)).To(Equal(!o.on), "connected before the option was set")
			Expect(is(after)).To(Equal(o.on), "connected after")
			Expect(o.set(before, o.on)).To(Succeed())
			Expect(is(before)).To(Equal(o.on))
		})
	}
}, everyConnected)

var _ = Describe("the options of credentials", func() {
	var f *fixture
	BeforeEach(func() { f = connect(unix.SOCK_STREAM) })

	for name, call := range map[string]func(sock int, on bool) error{
		"PassCred": scm.PassCred, "PassPIDFD": scm.PassPIDFD, "PassRights": scm.PassRights,
	} {
		It("fail by errno: "+name, func() {
			supported(call(f.b, true), "option for "+name)
			for _, on := range []bool{true, false} {
				f.badSockets("setsockopt", func(sock int) error { return call(sock, on) })
			}
		})
	}

	It("are unsupported where the kernel does not know them", func() {
		const unknown = 9999
		for _, on := range []bool{true, false} {
			err := sys.SetOption(f.b, unknown, on)
			Expect(err).To(MatchError(scm.ErrUnsupported))
			Expect(err).To(MatchError(unix.ENOPROTOOPT))
			var call *os.SyscallError
			Expect(errors.As(err, &call)).To(BeTrue())
		}
	})

	It("are unsupported where the kernel takes them and does nothing", func() {
		// As Linux does with this old one, and gVisor with those that it lacks.
		err := sys.SetOption(f.b, unix.SO_BSDCOMPAT, true)
		Expect(err).To(MatchError(scm.ErrUnsupported))
		Expect(err).To(MatchError(unix.ENOPROTOOPT))
	})

	It("are unsupported on TCP: PassRights", func() {
		sock, err := socket(unix.AF_INET, unix.SOCK_STREAM)()
		if err != nil {
			Skip("there is no TCP here: " + err.Error())
		}
		f.Own(sock)
		err = scm.PassRights(sock, false)
		Expect(err).To(MatchError(scm.ErrUnsupported))
	})
})

// PeerCred tells of a net.UnixConn too, without taking its descriptor out of
// the poller.
var _ = Describe("PeerCred by way of a raw connection", func() {
	It("tells the peer of a net.UnixConn", func() {
		l, err := net.Listen("unix", fmt.Sprintf("@scm-test-raw-%d", os.Getpid()))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(l.Close)
		c, err := net.Dial("unix", l.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(c.Close)
		raw, err := c.(*net.UnixConn).SyscallConn()
		Expect(err).NotTo(HaveOccurred())
		var cred scm.Cred
		Expect(raw.Control(func(fd uintptr) { cred, err = scm.PeerCred(int(fd)) })).To(Succeed())
		Expect(err).NotTo(HaveOccurred())
		Expect(cred).To(Equal(self()))
	})
})
