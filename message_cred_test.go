//go:build linux

package scm_test

import (
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

// A message identifies its sender by credentials and a pidfd.

// myself returns the credentials of this process.
func myself() scm.Cred {
	return scm.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}
}

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

	for _, n := range []int{0, 1, 2, scm.MaxFDs} {
		It("Send and Recv pass credentials with "+Count(n, "descriptor"), func() {
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

	It("Recv, RecvBatch and failed receives overwrite earlier credentials", func() {
		f.option(unix.SO_PASSCRED, 1)
		cred := stale
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}
		Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
		Expect(cred).To(Equal(noCred))
		f.sends("x")
		Expect(f.credentials(0)).To(Equal(myself()))
		f.option(unix.SO_PASSCRED, 0)
		f.sends("x")
		Expect(f.credentials(0)).To(Equal(noCred))
	})

	It("Send fails with ESRCH or EPERM for the credentials of a process that does not exist, and sends nothing", func() {
		cred := myself()
		cred.PID = 1 << 30 // more than the kernel's PID_MAX_LIMIT
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, Cred: &cred, N: 7}
		Expect(scm.Send(f.a, &m, 0)).To(Or(MatchError(unix.ESRCH), MatchError(unix.EPERM)))
		Expect(m.N).To(BeZero())
		isEmpty(f.b)
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
			_, err := scm.SendBatch(f.a, []scm.Message{m}, 0)
			failsWith(err, "sendmmsg", unix.EINVAL)
		}
		isEmpty(f.b)
	})

	It("Send and Recv with credentials do not allocate", func() {
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

// pidOf returns the process of a pidfd.
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

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	var before []int
	BeforeEach(func() {
		f = connect(typ)
		f.passesPidfd()
		before = pidfds()
	})
	AfterEach(func() { Expect(pidfds()).To(Equal(before), "open pidfds") })

	for _, n := range []int{0, 1, 2, 3, scm.MaxFDs} {
		It("Recv returns the pidfd of a message with "+Count(n, "descriptor")+", with and without credentials", func() {
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
				f.receivedSame(m.FDs[:m.NFD], sent...)
				if cred != nil {
					Expect(*cred).To(Equal(myself()))
				}
				Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(os.Getpid())))
				Expect(fdtest.CloseOnExec(pidfd)).To(BeTrue())
				Expect(unix.Close(pidfd)).To(Succeed())
			}
		})
	}

	It("Recv closes an extra descriptor that fits into the padding before a pidfd", func() {
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
			fds := []int{-7, -7} // of which the message gets one
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: fds[:1], PIDFD: &pidfd}
			Expect(recv(&m)).To(Succeed())
			Expect([]int{m.N, m.Flags, fds[1]}).To(Equal([]int{1, unix.MSG_CTRUNC, -7}))
			f.receivedSame(m.FDs[:m.NFD], sent[0])
			Expect(pidOf(pidfd)).To(Equal(strconv.Itoa(os.Getpid())))
			Expect(unix.Close(pidfd)).To(Succeed())
		}
	})

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
		m.CloseFDs()
	})

	for name, places := range map[string]func(ms []scm.Message) (first, second *int){
		"one of two pidfds if the PIDFD fields of both messages are the same pointer":            func([]scm.Message) (first, second *int) { p := new(int); return p, p },
		"both pidfds if each PIDFD field points to a descriptor in the FDs of its own message":   func(ms []scm.Message) (first, second *int) { return &ms[0].FDs[0], &ms[1].FDs[1] },
		"both pidfds if each PIDFD field points to a descriptor in the FDs of the other message": func(ms []scm.Message) (first, second *int) { return &ms[1].FDs[0], &ms[0].FDs[1] },
	} {
		It("RecvBatch closes "+name, func() {
			sent := f.files(2)
			ms := make([]scm.Message, 2)
			for i := range ms {
				f.sends("x", sent...)
				ms[i] = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2)}
			}
			first, second := places(ms)
			ms[0].PIDFD, ms[1].PIDFD = first, second
			Expect(scm.RecvBatch(f.b, ms, 0)).To(Equal(2))
			kept := 0
			for i := range ms {
				f.receivedSame(ms[i].FDs[:ms[i].NFD], sent...)
				if ms[i].Flags == 0 {
					kept++
					Expect(pidOf(*ms[i].PIDFD)).To(Equal(strconv.Itoa(os.Getpid())))
					Expect(unix.Close(*ms[i].PIDFD)).To(Succeed())
				} else {
					Expect(ms[i].Flags).To(Equal(unix.MSG_CTRUNC))
				}
			}
			if first == second {
				Expect(kept).To(Equal(1))
			} else {
				Expect(kept).To(BeZero())
			}
		})
	}

	It("Recv sets *PIDFD to -1 if SO_PASSPIDFD is off, and after an error", func() {
		f.option(unix.SO_PASSPIDFD, 0)
		sent := f.files(2)
		f.sends("x", sent...)
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2), PIDFD: &pidfd}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect(m.Flags).To(Equal(0))
		f.receivedSame(m.FDs[:m.NFD], sent...)
		Expect(pidfd).To(Equal(-1))
		pidfd = -7
		Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
		Expect(pidfd).To(Equal(-1))
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

var _ = It("Recv reports the user and group of a sender outside the PID namespace, and PID 0", func() {
	f := connect(unix.SOCK_STREAM)
	f.option(unix.SO_PASSCRED, 1)
	f.sends("x", f.files(1)...)
	cmd := ChildCommand("receives-cred")
	cmd.ExtraFiles = []*os.File{asFile(f.b)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	cmd.Stderr = GinkgoWriter
	if err := cmd.Start(); err != nil {
		Skip("no PID namespace can be had here: " + err.Error())
	}
	Expect(cmd.Wait()).To(Succeed())
})

var _ = Child("receives-cred", func([]string) {
	cred := stale
	m := scm.Message{Buffers: [][]byte{make([]byte, 2)}, FDs: make([]int, 1), Cred: &cred}
	Expect(scm.Recv(3, &m, 0)).To(Succeed())
	Expect(m.NFD).To(Equal(1))
	Expect(cred).To(Equal(scm.Cred{PID: 0, UID: os.Getuid(), GID: os.Getgid()}))
})
