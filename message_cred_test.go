//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// What a message tells of its sender: credentials and a pidfd.

// myself is what this process may say of itself.
func myself() scm.Cred {
	return scm.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}
}

// nobodys is what Recv says where no credentials came.
var nobodys = scm.Cred{PID: 0, UID: -1, GID: -1}

// stale is what must not be left of an earlier message.
var stale = scm.Cred{PID: 7, UID: 7, GID: 7}

// option sets an option of the receiving socket.
func (f *fixture) option(name, value int) {
	GinkgoHelper()
	Expect(unix.SetsockoptInt(f.b, unix.SOL_SOCKET, name, value)).To(Succeed())
}

// credentials receives one byte, with room for so many descriptors and for
// credentials, and returns those.
func (f *fixture) credentials(room int, sent ...int) scm.Cred {
	GinkgoHelper()
	cred := stale
	m := scm.Message{Buffers: [][]byte{make([]byte, 2)}, FDs: make([]int, room), Cred: &cred}
	Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
	Expect([]int{m.N, m.Flags}).To(Equal([]int{1, 0}))
	f.takes(m.FDs[:m.NFD], sent...)
	return cred
}

var _ = DescribeTableSubtree("credentials", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	for _, n := range []int{0, 1, 2, scm.MaxFDs} {
		It(fmt.Sprintf("go beside %d descriptors, and come with them", n), func() {
			f.option(unix.SO_PASSCRED, 1)
			sent, cred := f.files(n), myself()
			for _, unpadded := range []bool{false, true} {
				m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: sent, Cred: &cred, Unpadded: unpadded}
				Expect(scm.Send(f.a, &m, 0)).To(Succeed())
				Expect(cred).To(Equal(myself()), "Send wrote to them")
				Expect(f.credentials(n, sent...)).To(Equal(myself()))
			}
		})
	}

	It("come where the sender attached none: the kernel does", func() {
		f.option(unix.SO_PASSCRED, 1)
		sent := f.files(3)
		f.sends("x", sent...)
		Expect(f.credentials(3, sent...)).To(Equal(myself()))
	})

	It("do not come without SO_PASSCRED, and the room for them is no harm", func() {
		sent, cred := f.files(3), myself()
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: sent, Cred: &cred}
		Expect(scm.Send(f.a, &m, 0)).To(Succeed())
		Expect(f.credentials(3, sent...)).To(Equal(nobodys))
	})

	It("may be sent before or after the descriptors", func() {
		f.option(unix.SO_PASSCRED, 1)
		sent := f.files(2)
		rights := unix.UnixRights(sent...)
		cred := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
		for _, control := range [][]byte{append(rights[:len(rights):len(rights)], cred...), append(cred, rights...)} {
			Expect(unix.Sendmsg(f.a, []byte("x"), control, nil, 0)).To(Succeed())
			Expect(f.credentials(2, sent...)).To(Equal(myself()))
		}
	})

	It("are told by a receive, a batch and an error as of this one", func() {
		f.option(unix.SO_PASSCRED, 1)
		cred := stale
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}
		Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
		Expect(cred).To(Equal(nobodys))
		f.sends("x")
		Expect(f.credentials(0)).To(Equal(myself()))
		f.option(unix.SO_PASSCRED, 0)
		f.sends("x")
		Expect(f.credentials(0)).To(Equal(nobodys))
	})

	It("are another process's where it sends", func() {
		f.option(unix.SO_PASSCRED, 1)
		cmd := ChildCommand("sends-cred", strconv.Itoa(myself().UID), strconv.Itoa(myself().GID))
		cmd.ExtraFiles = []*os.File{f.inherited(f.a)}
		RunChild(cmd)
		cred := f.credentials(1)
		Expect(cred.PID).To(Equal(cmd.Process.Pid))
		Expect([]int{cred.UID, cred.GID}).To(Equal([]int{os.Getuid(), os.Getgid()}))
	})

	It("that are forged are EPERM, and nothing is sent", func() {
		f.option(unix.SO_PASSCRED, 1)
		cmd := ChildCommand("forges-cred")
		cmd.ExtraFiles = []*os.File{f.inherited(f.a)}
		if os.Geteuid() == 0 {
			if err := ReadableByOthers(); err != nil {
				Skip("another user may not run the test binary: " + err.Error())
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		RunChild(cmd)
		isEmpty(f.b)
	})

	It("of a process that does not exist are ESRCH, and nothing is sent", func() {
		f.option(unix.SO_PASSCRED, 1)
		cred := myself()
		cred.PID = 1 << 30 // more than the kernel's greatest, PID_MAX_LIMIT
		err := scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("x")}, Cred: &cred}, 0)
		isEmpty(f.b)
		if errors.Is(err, unix.EPERM) {
			Skip("only a process with CAP_SYS_ADMIN may send another PID")
		}
		failsWith(err, "sendmsg", unix.ESRCH)
	})

	It("that no uid_t holds are EINVAL, and nobody's: nothing is sent", func() {
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
			_, err := scm.SendBatch(f.a, []scm.Message{m}, 0)
			failsWith(err, "sendmmsg", unix.EINVAL)
		}
		isEmpty(f.b)
	})

	It("take no memory", func() {
		f.option(unix.SO_PASSCRED, 1)
		sent := f.file()
		Expect(allocations(func() bool {
			var p [1]byte
			bufs, fds, cred := [1][]byte{p[:]}, [1]int{sent}, myself()
			m := scm.Message{Buffers: bufs[:], FDs: fds[:], Cred: &cred}
			if scm.Send(f.a, &m, 0) != nil {
				return false
			}
			cred = stale
			err := scm.Recv(f.b, &m, 0)
			return err == nil && cred == myself() && closeAll(m.FDs[:m.NFD])
		})).To(BeZero())
	})
}, everyType)

// inherited is another number for the socket, to be given to a child.
func (f *fixture) inherited(sock int) *os.File {
	GinkgoHelper()
	dup, err := unix.FcntlInt(uintptr(sock), unix.F_DUPFD_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	file := os.NewFile(uintptr(dup), "socket")
	DeferCleanup(file.Close)
	return file
}

// Its arguments are what it says of itself beside its process number.
var _ = Child("sends-cred", sendsCred)

func sendsCred(args []string) {
	uid, err := strconv.Atoi(args[0])
	Expect(err).NotTo(HaveOccurred())
	gid, err := strconv.Atoi(args[1])
	Expect(err).NotTo(HaveOccurred())
	m := scm.Message{Buffers: [][]byte{[]byte("x")}, Cred: &scm.Cred{PID: os.Getpid(), UID: uid, GID: gid}}
	Expect(scm.Send(3, &m, 0)).To(Succeed())
}

var _ = Child("forges-cred", func([]string) {
	for _, forge := range []func(c *scm.Cred){
		func(c *scm.Cred) { c.UID++ },
		func(c *scm.Cred) { c.UID = 0 },
		func(c *scm.Cred) { c.GID++ },
		func(c *scm.Cred) { c.PID = 1 },
		func(c *scm.Cred) { c.PID = os.Getppid() },
	} {
		cred := myself()
		forge(&cred)
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: []int{0}, Cred: &cred, N: 7}
		failsWith(scm.Send(3, &m, 0), "sendmsg", unix.EPERM)
		Expect(m.N).To(Equal(0))
	}
})

// pidOf is the process behind a pidfd.
func pidOf(pidfd int) string {
	GinkgoHelper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		if pid, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strings.TrimSpace(pid)
		}
	}
	Fail("no pidfd: " + string(text))
	return ""
}

var _ = DescribeTableSubtree("a pidfd", func(typ int) {
	var f *fixture
	var before []int
	BeforeEach(func() {
		f = connect(typ)
		f.passesPidfd()
		before = pidfds()
	})
	AfterEach(func() { Expect(pidfds()).To(Equal(before), "open pidfds") })

	for _, n := range []int{0, 1, 2, 3, scm.MaxFDs} {
		It(fmt.Sprintf("comes behind %d descriptors, with credentials and without", n), func() {
			sent := f.files(n)
			for _, cred := range []*scm.Cred{nil, {}} {
				f.option(unix.SO_PASSCRED, 0)
				if cred != nil {
					f.option(unix.SO_PASSCRED, 1)
				}
				f.sends("x", sent...)
				pidfd := -7
				m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, n), Cred: cred, PIDFD: &pidfd}
				Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
				Expect([]int{m.N, m.Flags}).To(Equal([]int{1, 0}))
				f.takes(m.FDs[:m.NFD], sent...)
				if cred != nil {
					Expect(*cred).To(Equal(myself()))
				}
				Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(os.Getpid())))
				Expect(fdtest.CloseOnExec(pidfd)).To(BeTrue())
				Expect(unix.Close(pidfd)).To(Succeed())
			}
		})
	}

	It("leaves room in the padding for one descriptor too many, which is closed", func() {
		if unix.CmsgSpace(4) == unix.CmsgLen(4) {
			Skip("there is no padding on this architecture")
		}
		sent := f.files(2)
		for _, recv := range []func(m *scm.Message) error{
			func(m *scm.Message) error { return scm.Recv(f.b, m, 0) },
			func(m *scm.Message) error {
				ms := []scm.Message{*m}
				_, err := scm.RecvBatch(f.b, ms, 0)
				*m = ms[0]
				return err
			},
		} {
			f.sends("x", sent...)
			pidfd := -7
			fds := []int{-7, -7} // of which one is room
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: fds[:1], PIDFD: &pidfd}
			Expect(recv(&m)).To(Succeed())
			Expect([]int{m.N, m.Flags, fds[1]}).To(Equal([]int{1, unix.MSG_CTRUNC, -7}))
			f.takes(m.FDs[:m.NFD], sent[0])
			Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(os.Getpid())))
			Expect(unix.Close(pidfd)).To(Succeed())
		}
	})

	It("is of the process that sent", func() {
		cmd := ChildCommand("sends-cred", strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid()))
		r, w, err := os.Pipe() // keeps the child there: a pidfd of one that is gone has no number
		Expect(err).NotTo(HaveOccurred())
		defer func() { _ = w.Close() }()
		cmd.Env = append(cmd.Env, ChildVariable+"=sends-cred-and-waits")
		cmd.Stdin = r
		cmd.ExtraFiles = []*os.File{f.inherited(f.a)}
		Expect(cmd.Start()).To(Succeed())
		Expect(r.Close()).To(Succeed())
		Expect(unix.SetNonblock(f.b, false)).To(Succeed())
		Expect(unix.SetsockoptTimeval(f.b, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60})).To(Succeed())
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, PIDFD: &pidfd}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(cmd.Process.Pid)))
		Expect(unix.Close(pidfd)).To(Succeed())
		Expect(w.Close()).To(Succeed())
		Expect(cmd.Wait()).To(Succeed())
	})

	It("does not come without SO_PASSPIDFD, nor with an error, and is -1", func() {
		f.option(unix.SO_PASSPIDFD, 0)
		sent := f.files(2)
		f.sends("x", sent...)
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2), PIDFD: &pidfd}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect(m.Flags).To(Equal(0))
		f.takes(m.FDs[:m.NFD], sent...)
		Expect(pidfd).To(Equal(-1))
		pidfd = -7
		Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
		Expect(pidfd).To(Equal(-1))
	})

	It("is -1 and MSG_CTRUNC where no number is free", func() {
		f.sends("x")
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, PIDFD: &pidfd}
		fdtest.Take()
		var limit unix.Rlimit
		Expect(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
		lowest, err := unix.Dup(f.a)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Close(lowest)).To(Succeed())
		Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest), Max: limit.Max})).To(Succeed())
		err = scm.Recv(f.b, &m, 0)
		Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
		Expect(err).NotTo(HaveOccurred())
		Expect(pidfd).To(Equal(-1))
		Expect([]int{m.N, m.Flags}).To(Equal([]int{1, unix.MSG_CTRUNC}))
	})

	It("is not read by Send", func() {
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, PIDFD: &pidfd}
		Expect(scm.Send(f.a, &m, 0)).To(Succeed())
		Expect(pidfd).To(Equal(-7))
	})

	It("takes no memory", func() {
		Expect(allocations(func() bool {
			var p [1]byte
			var pidfd int
			bufs := [1][]byte{p[:]}
			m := scm.Message{Buffers: bufs[:], PIDFD: &pidfd}
			return scm.Send(f.a, &m, 0) == nil && scm.Recv(f.b, &m, 0) == nil && unix.Close(pidfd) == nil
		})).To(BeZero())
	})
}, everyType)

var _ = Child("sends-cred-and-waits", func(args []string) {
	sendsCred(args)
	_, err := os.Stdin.Read(make([]byte, 1))
	Expect(err).To(HaveOccurred())
})

var _ = DescribeTableSubtree("Unpadded", func(typ int) {
	for n := range 6 {
		It(fmt.Sprintf("is taken with %d descriptors", n), func() {
			f := connect(typ)
			sent := f.files(n)
			m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: sent, Unpadded: true}
			Expect(scm.Send(f.a, &m, 0)).To(Succeed())
			f.receives(1, n, 0, "x", 0, sent...)
		})
	}
}, everyType)

var _ = DescribeTableSubtree("the sender is outside of the receiver's PID namespace", func(typ int) {
	for _, batch := range []bool{false, true} {
		It(fmt.Sprintf("and has a user and a group all the same, batch: %v", batch), func() {
			f := connect(typ)
			f.option(unix.SO_PASSCRED, 1)
			f.sends("x", f.files(1)...)
			cmd := ChildCommand("receives-cred", strconv.FormatBool(batch))
			cmd.ExtraFiles = []*os.File{f.inherited(f.b)}
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
			if os.Geteuid() != 0 {
				// Whoever may not have a PID namespace may have one in a user namespace.
				cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
				cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
			}
			// First without the mappings: where clone(2) fails, as in a chroot, package
			// syscall leaves the pipe open by which it would tell the child of them.
			for _, attr := range []*syscall.SysProcAttr{{Cloneflags: cmd.SysProcAttr.Cloneflags}, cmd.SysProcAttr} {
				probe := ChildCommand("nothing")
				probe.SysProcAttr = attr
				if err := probe.Run(); err != nil {
					Skip("no PID namespace can be had here: " + err.Error())
				}
			}
			Expect(RunChild(cmd)).To(Equal(fmt.Sprintf("1 {0 %d %d}\n", os.Getuid(), os.Getgid())))
		})
	}
}, everyType)

var _ = Child("nothing", func([]string) {})

var _ = Child("receives-cred", func(args []string) {
	cred := stale
	ms := []scm.Message{{Buffers: [][]byte{make([]byte, 2)}, FDs: make([]int, 1), Cred: &cred}}
	if args[0] == "true" {
		n, err := scm.RecvBatch(3, ms, 0)
		Expect(n, err).To(Equal(1))
	} else {
		Expect(scm.Recv(3, &ms[0], 0)).To(Succeed())
	}
	fmt.Println(ms[0].NFD, cred)
})
