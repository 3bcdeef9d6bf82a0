package scm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
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

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Recv passes its flags and always MSG_CMSG_CLOEXEC to the kernel, and never reports the latter", func() {
		sent := f.file()
		f.sends("x", sent)
		// MSG_CTRUNC has no meaning as an argument
		for _, flags := range []int{unix.MSG_PEEK, unix.MSG_PEEK | unix.MSG_CTRUNC, unix.MSG_CMSG_CLOEXEC} {
			f.receives(1, 1, flags, "x", 0, sent)
		}
		isEmpty(f.b)
	})
}, everyType)

// pidfds returns the open descriptors that are pidfds.
func pidfds() []int {
	var fds []int
	for _, fd := range fdtest.Open() {
		if strings.Contains(fdtest.Name(fd), "pidfd") {
			fds = append(fds, fd)
		}
	}
	return fds
}

// passesPidfd sets SO_PASSPIDFD, and skips the spec if this has no effect. Some kernels accept any option.
func (f *fixture) passesPidfd() {
	GinkgoHelper()
	if err := unix.SetsockoptInt(f.b, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1); errors.Is(err, unix.ENOPROTOOPT) {
		Skip("this kernel does not have SO_PASSPIDFD, new in Linux 6.5")
	} else {
		Expect(err).NotTo(HaveOccurred())
	}
	f.sends("effect")
	control := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(f.b, make([]byte, 8), control, 0)
	Expect(err).NotTo(HaveOccurred())
	if n == 0 {
		Skip("this kernel accepts SO_PASSPIDFD but sends no pidfd")
	}
	messages := ok(unix.ParseSocketControlMessage(control[:n]))
	Expect(messages).To(HaveLen(1))
	Expect(unix.Close(int(binary.NativeEndian.Uint32(messages[0].Data)))).To(Succeed())
}

var _ = It("Recv sets MSG_CTRUNC if SO_INQ does not fit into the control buffer, although no descriptor is missing", func() {
	f := connect(unix.SOCK_STREAM)
	if err := unix.SetsockoptInt(f.b, unix.SOL_SOCKET, 84, 1); err != nil {
		Skip("this kernel does not have SO_INQ: " + err.Error())
	}
	sent := f.files(2)
	f.sends("x", sent...)
	f.receives(1, 2, 0, "x", unix.MSG_CTRUNC, sent...)
	f.sends("x", sent...)
	f.receives(1, 32, 0, "x", 0, sent...)
	Expect(scm.WriteFD(f.a, []byte("x"), sent[0])).To(Equal(1))
	f.readsLost(make([]byte, 1), 1)
})

func self() scm.Cred {
	return scm.Cred{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}
}

// badSockets checks the errors of a call for descriptors that are not sockets.
func (f *fixture) badSockets(name string, call func(sock int) error) {
	GinkgoHelper()
	failsWith(call(-1), name, unix.EBADF)
	failsWith(call(f.closedFD()), name, unix.EBADF)
	failsWith(call(f.file()), name, unix.ENOTSOCK)
	if strconv.IntSize == 64 {
		upper := int64(1) << 32
		failsWith(call(int(upper)+f.a), name, unix.EBADF)
	}
}

// named makes a listening socket with a name that the kernel chooses.
func (f *fixture) named(typ int) (sock int, name string) {
	GinkgoHelper()
	sock = f.own(unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
	Expect(unix.Bind(sock, &unix.SockaddrUnix{})).To(Succeed())
	Expect(unix.Listen(sock, 8)).To(Succeed())
	return sock, ok(unix.Getsockname(sock)).(*unix.SockaddrUnix).Name
}

func (f *fixture) accept(listening int) int {
	GinkgoHelper()
	sock, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	f.own(sock, err)
	return sock
}

// connect connects to a socket by name, prints its PID and waits for the end of its standard input.
var _ = Child("connect", func(args []string) {
	typ := ok(strconv.Atoi(args[0]))
	sock := ok(unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0))
	Expect(unix.Connect(sock, &unix.SockaddrUnix{Name: args[1]})).To(Succeed())
	Expect(unix.Sendto(sock, []byte("x"), 0, nil)).To(Succeed())
	fmt.Println(os.Getpid())
	Expect(os.Stdin.Read(make([]byte, 1))).Error().To(HaveOccurred())
})

// connected starts the child connect, and waits until it is connected. The child runs until end is called.
func connected(cmd *exec.Cmd) (pid int, end func()) {
	GinkgoHelper()
	stdin := ok(cmd.StdinPipe())
	stdout := ok(cmd.StdoutPipe())
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
	Expect(Second(fmt.Fscanln(stdout, &pid))).To(Succeed(), "standard error: %s", &stderr)
	Expect(pid).To(Equal(cmd.Process.Pid))
	return pid, end
}

// asStranger makes a child run as a user that no other process runs as.
func asStranger(cmd *exec.Cmd) (id int) {
	GinkgoHelper()
	fdtest.NeedRoot(GinkgoTB(), "start a process as another user")
	if err := ReadableByOthers(); err != nil {
		Skip("another user may not run the test binary: " + err.Error())
	}
	id = 1<<30 + os.Getpid()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id + 1)}}
	return id
}

// needsAccepted skips the spec if SO_PEERCRED of an accepted socket is wrong.
func needsAccepted(typ int) {
	GinkgoHelper()
	if typ == unix.SOCK_SEQPACKET && fdtest.OnGVisor() {
		Skip("on gVisor, SO_PEERCRED of a seqpacket connection identifies the process that accepted it")
	}
}

var everyConnected = []TableEntry{
	Entry("stream sockets,", unix.SOCK_STREAM),
	Entry("seqpacket sockets,", unix.SOCK_SEQPACKET),
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("PeerCred identifies the process that created the pair", func() {
		Expect(scm.PeerCred(f.a)).To(Equal(self()))
		Expect(scm.PeerCred(f.b)).To(Equal(self()))
	})

	It("PeerCred returns the errno for a bad descriptor", func() {
		f.badSockets("getsockopt", func(sock int) error {
			cred, err := scm.PeerCred(sock)
			Expect(cred).To(Equal(noCred))
			return err
		})
	})

	It("PeerCred returns ENOTCONN if the socket has no peer", func() {
		for _, family := range []int{unix.AF_UNIX, unix.AF_INET} {
			sock, err := socket(family, typ)()
			if err != nil {
				continue // seqpacket over TCP does not exist
			}
			f.Own(sock)
			cred, err := scm.PeerCred(sock)
			if family == unix.AF_INET && errors.Is(err, unix.EINVAL) {
				continue // on gVisor
			}
			failsWith(err, "getsockopt", unix.ENOTCONN)
			Expect(cred).To(Equal(noCred))
		}
	})

	It("sending descriptors, but not plain data, fails with EPERM while PassRights is off", func() {
		supported(scm.PassRights(f.b, false), "SO_PASSRIGHTS, new in Linux 6.16")
		fd := f.file()
		writeFails(f.a, []byte("x"), fd, unix.EPERM)
		sendFails(f.a, "x", unix.EPERM, fd, fd)
		isEmpty(f.b)
		f.sends("plain")
		f.receives(8, 1, 0, "plain", 0)
		Expect(scm.PassRights(f.b, true)).To(Succeed())
		f.sends("x", fd)
		f.receives(1, 1, 0, "x", 0, fd)
	})
}, everyType)

var _ = DescribeTableSubtree("on accepted", func(typ int) {
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

	It("PeerCred identifies the process that connected, even after it has ended", func() {
		pid, end := connected(cmd)
		want := scm.Cred{PID: pid, UID: os.Geteuid(), GID: os.Getegid()}
		sock := f.accept(listening)
		Expect(scm.PeerCred(sock)).To(Equal(want))
		end()
		Expect(scm.PeerCred(sock)).To(Equal(want))
	})

	It("PeerCred identifies a process of another user", func() {
		id := asStranger(cmd)
		pid, _ := connected(cmd)
		Expect(scm.PeerCred(f.accept(listening))).To(Equal(scm.Cred{PID: pid, UID: id, GID: id + 1}))
	})

	It("PeerPIDFD returns a pidfd of the process that connected", func() {
		pid, end := connected(cmd)
		sock := f.accept(listening)
		before, err := scm.PeerPIDFD(sock)
		supported(err, "SO_PEERPIDFD, new in Linux 6.5")
		f.Own(before)
		Expect(fdtest.CloseOnExec(before)).To(BeTrue())
		Expect(pidOf(before)).To(Equal(strconv.Itoa(pid)))
		Expect(unix.PidfdSendSignal(before, 0, nil, 0)).To(Succeed())
		Expect(readiness(before) & unix.POLLIN).To(BeZero())
		end()
		Expect(readiness(before) & unix.POLLIN).NotTo(BeZero())
		Expect(unix.PidfdSendSignal(before, 0, nil, 0)).To(MatchError(unix.ESRCH))
		after, err := scm.PeerPIDFD(sock)
		if err == nil { // Linux 6.16
			f.Own(after)
			Expect(readiness(after) & unix.POLLIN).NotTo(BeZero())
		} else {
			Expect(err).To(Or(MatchError(unix.ESRCH), MatchError(unix.EINVAL)))
		}
	})
}, everyConnected)

var _ = It("PeerPIDFD returns the errno for a bad descriptor, and opens nothing", func() {
	f := connect(unix.SOCK_STREAM)
	before := pidfds()
	fails := func(sock int) error {
		pidfd, err := scm.PeerPIDFD(sock)
		Expect(pidfd).To(Equal(-1))
		return err
	}
	f.badSockets("getsockopt", fails)
	Expect(pidfds()).To(Equal(before))

	sock := f.own(socket(unix.AF_UNIX, unix.SOCK_STREAM)())
	err := fails(sock)
	if errors.Is(err, errors.ErrUnsupported) {
		supported(err, "SO_PEERPIDFD, new in Linux 6.5")
	}
	failsWith(err, "getsockopt", unix.ENODATA)
})

var _ = Describe("on stream sockets,", func() {
	var f *fixture
	BeforeEach(func() { f = connect(unix.SOCK_STREAM) })

	for name, call := range map[string]func(sock int, on bool) error{
		"PassCred": scm.PassCred, "PassPIDFD": scm.PassPIDFD, "PassRights": scm.PassRights,
	} {
		It(name+" returns the errno for a bad descriptor", func() {
			supported(call(f.b, true), "option for "+name)
			for _, on := range []bool{true, false} {
				f.badSockets("setsockopt", func(sock int) error { return call(sock, on) })
			}
		})
	}

	// Linux accepts the obsolete SO_BSDCOMPAT without any effect, as gVisor accepts options that it does not have.
	It("setting an option that the kernel rejects, or accepts without effect, fails with errors.ErrUnsupported", func() {
		for _, option := range []int{9999, unix.SO_BSDCOMPAT} {
			err := sys.SetOption(f.b, option, true)
			Expect(err).To(And(MatchError(errors.ErrUnsupported), MatchError(unix.ENOPROTOOPT)))
		}
		Expect(errorOf[*os.SyscallError](sys.SetOption(f.b, 9999, false)).Syscall).To(Equal("setsockopt"))
	})

	It("PassRights fails with errors.ErrUnsupported if the socket is a TCP socket", func() {
		sock, err := socket(unix.AF_INET, unix.SOCK_STREAM)()
		if err != nil {
			Skip("cannot make a TCP socket: " + err.Error())
		}
		f.Own(sock)
		Expect(scm.PassRights(sock, false)).To(MatchError(errors.ErrUnsupported))
	})
})

var _ = DescribeTableSubtree("on", func(network string) {
	It("PeerCred and PeerPIDFD of a Conn identify the peer of its socket", func() {
		a, _ := pair(network)
		Expect(a.PeerCred()).To(Equal(self()))
		pidfd, err := a.PeerPIDFD()
		supported(err, "SO_PEERPIDFD, new in Linux 6.5")
		DeferCleanup(unix.Close, pidfd)
		Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(os.Getpid())))
	})

	if network != "unixgram" { // where a receiver is not notified of the end
		It("Recv returns no credentials at the end of the connection, although Linux reports root", func() {
			for how, end := range map[string]func(a, b *scm.Conn) error{
				"the other end's Close": func(a, _ *scm.Conn) error { return a.Close() },
				"CloseRead":             func(_, b *scm.Conn) error { return b.CloseRead() },
			} {
				a, b := pair(network)
				Expect(b.PassCred(true)).To(Succeed())
				Expect(a.Write([]byte("x"))).To(Equal(1))
				Expect(end(a, b)).To(Succeed())
				cred := stale
				m := scm.Message{Buffers: [][]byte{nil, make([]byte, 2)}, Cred: &cred}
				Expect(b.Recv(&m, 0)).To(Succeed())
				Expect(cred).To(Equal(self()), how)
				Expect(b.Recv(&m, unix.MSG_DONTWAIT)).To(Succeed())
				Expect([]int{m.N, m.NFD}).To(Equal([]int{0, 0}), how)
				Expect(cred).To(Equal(noCred), how)
			}
		})
	}
}, everyNetwork)

// A message identifies its sender by credentials and a pidfd.

// noCred is what Recv stores if no credentials were received.
var noCred = scm.Cred{PID: 0, UID: -1, GID: -1}

// stale are the credentials of an earlier message, which a receive must overwrite.
var stale = scm.Cred{PID: 7, UID: 7, GID: 7}

// option sets an option on the receiving socket.
func (f *fixture) option(name, value int) {
	GinkgoHelper()
	Expect(unix.SetsockoptInt(f.b, unix.SOL_SOCKET, name, value)).To(Succeed())
}

// credentials receives one byte, at most n descriptors, and credentials, which it returns.
func (f *fixture) credentials(room int, sent ...int) scm.Cred {
	GinkgoHelper()
	cred := stale
	m := scm.Message{Buffers: [][]byte{make([]byte, 2)}, FDs: make([]int, room), Cred: &cred}
	Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
	Expect([]int{m.N, m.Flags}).To(Equal([]int{1, 0}))
	f.receivedSame(m.FDs[:m.NFD], sent...)
	return cred
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Send and Recv pass credentials with descriptors", func() {
		f.option(unix.SO_PASSCRED, 1)
		sent, cred := f.files(2), self()
		if os.Geteuid() == 0 { // and can claim to be a user and group with different IDs
			cred.UID, cred.GID = cred.UID+1, cred.GID+2
		}
		claimed := cred
		for range 2 {
			m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: sent, Cred: &cred}
			Expect(scm.Send(f.a, &m, 0)).To(Succeed())
			Expect(m.N).To(Equal(1))
			Expect(cred).To(Equal(claimed), "Send wrote to them")
		}
		Expect(f.credentials(2, sent...)).To(Equal(claimed))
		CannotEmulate(fdtest.NotCut)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect(m.Flags).To(Equal(unix.MSG_CTRUNC))
	})

	It("Recv returns the sender's credentials, or none while PassCred is off and after an error", func() {
		for i, on := range []bool{true, true, false, false, true} {
			step("round ", i, ": ", on)
			Expect(scm.PassCred(f.b, on)).To(Succeed())
			cred := stale
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}
			Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
			Expect(cred).To(Equal(noCred))
			f.sends("x")
			if on {
				Expect(f.credentials(0)).To(Equal(self()))
			} else {
				Expect(f.credentials(0)).To(Equal(noCred))
			}
		}
	})

	It("Send fails with EINVAL for a user or group ID that does not fit into uid_t, and sends nothing", func() {
		bits := 32
		beyond := 1 << bits
		if beyond == 0 {
			Skip("an int has 32 bits here")
		}
		f.option(unix.SO_PASSCRED, 1)
		for _, cred := range []scm.Cred{
			{PID: os.Getpid(), UID: os.Getuid() + beyond, GID: os.Getgid()},
			{PID: os.Getpid(), UID: os.Getuid() - beyond, GID: os.Getgid()},
			{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid() + beyond},
			{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid() - beyond},
		} {
			m := scm.Message{Buffers: [][]byte{[]byte("x")}, Cred: &cred}
			failsWith(scm.Send(f.a, &m, 0), "sendmsg", unix.EINVAL)
		}
		isEmpty(f.b)
	})

	It("Send and Recv with credentials do not allocate", func() {
		f.option(unix.SO_PASSCRED, 1)
		sent := f.file()
		Expect(allocations(func() bool {
			var p [1]byte
			bufs, fds, cred := [1][]byte{p[:]}, [1]int{sent}, self()
			m := scm.Message{Buffers: bufs[:], FDs: fds[:], Cred: &cred}
			if scm.Send(f.a, &m, 0) != nil {
				return false
			}
			cred = stale
			err := scm.Recv(f.b, &m, 0)
			return err == nil && cred == self() && closeAll(m.FDs[:m.NFD])
		})).To(BeZero())
	})
}, everyType)

// pidOf returns the process of a pidfd.
func pidOf(pidfd int) string {
	GinkgoHelper()
	text := ok(os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd)))
	for line := range strings.Lines(string(text)) {
		if pid, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strings.TrimSpace(pid)
		}
	}
	Fail("no pidfd: " + string(text))
	return ""
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	var before []int
	BeforeEach(func() {
		f = connect(typ)
		f.passesPidfd()
		before = pidfds()
	})
	AfterEach(func() { Expect(pidfds()).To(Equal(before), "open pidfds") })

	It("Recv closes the pidfd if the PIDFD field points to a received descriptor in FDs", func() {
		sent := f.files(2)
		f.sends("x", sent...)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 3)}
		m.PIDFD = &m.FDs[0]
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect(m.Flags).To(Equal(unix.MSG_CTRUNC))
		f.receivedSame(m.FDs[:m.NFD], sent...)
		Expect(pidfds()).To(Equal(before))

		f.sends("x", sent...)
		m.PIDFD = &m.FDs[2] // which has no descriptor
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect(m.Flags).To(BeZero())
		Expect(pidOf(m.FDs[2])).To(Equal(strconv.Itoa(os.Getpid())))
		m.Close()
	})

	It("Recv returns a pidfd of the sender, or -1 while PassPIDFD is off and after an error", func() {
		sent := f.files(2)
		for i, on := range []bool{true, true, false, false, true} {
			step("round ", i, ": ", on)
			Expect(scm.PassPIDFD(f.b, on)).To(Succeed())
			pidfd := -7
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2), PIDFD: &pidfd}
			Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
			Expect(pidfd).To(Equal(-1))
			f.sends("x", sent...)
			m.FDs, pidfd = make([]int, 2), -7
			Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
			Expect(m.Flags).To(Equal(0))
			f.receivedSame(m.FDs[:m.NFD], sent...)
			if on {
				Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(os.Getpid())))
				Expect(fdtest.CloseOnExec(pidfd)).To(BeTrue())
				Expect(unix.Close(pidfd)).To(Succeed())
			} else {
				Expect(pidfd).To(Equal(-1))
			}
		}
	})

	It("Recv returns a pidfd that is descriptor 0", func() {
		RunChild(ChildCommand("pidfd-0", strconv.Itoa(typ)))
	})

	It("Send ignores the PIDFD field", func() {
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, PIDFD: &pidfd}
		Expect(scm.Send(f.a, &m, 0)).To(Succeed())
		Expect(pidfd).To(Equal(-7))
	})

	It("Recv does not allocate if it returns a pidfd", func() {
		Expect(allocations(func() bool {
			var p [1]byte
			var pidfd int
			bufs := [1][]byte{p[:]}
			m := scm.Message{Buffers: bufs[:], PIDFD: &pidfd}
			return scm.Send(f.a, &m, 0) == nil && scm.Recv(f.b, &m, 0) == nil && unix.Close(pidfd) == nil
		})).To(BeZero())
	})
}, everyType)

var _ = Child("pidfd-0", func(args []string) {
	f := newFixture(ok(strconv.Atoi(args[0])))
	Expect(scm.PassPIDFD(f.b, true)).To(Succeed())
	f.sends("x")
	scm.CloseFDs(0)
	pidfd := -7
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, PIDFD: &pidfd}
	Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
	Expect(pidfd).To(BeZero())
	m.Close()
	Expect(fdtest.IsOpen(0)).To(BeFalse())
})
