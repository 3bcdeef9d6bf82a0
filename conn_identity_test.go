//go:build linux

package scm_test

import (
	"net"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

var _ = DescribeTableSubtree("the identity of a Conn's peer", func(network string) {
	It("is that of its socket", func() {
		a, _ := pair(network)
		Expect(a.PeerCred()).To(Equal(self()))
		pidfd, err := a.PeerPIDFD()
		supported(err, "SO_PEERPIDFD, which is from Linux 6.5")
		DeferCleanup(unix.Close, pidfd)
		Expect(state(pidfd)).To(MatchRegexp(`(?m)^Pid:\s+%d$`, os.Getpid()))
	})

	It("is received with a message, once it is asked for", func() {
		a, b := pair(network)
		supported(b.PassPIDFD(true), "SO_PASSPIDFD, which is from Linux 6.5")
		Expect(a.Write([]byte("x"))).To(Equal(1))
		pidfd := -1
		Expect(b.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}, PIDFD: &pidfd}, 0)).To(Succeed())
		Expect(fdtest.IsOpen(pidfd)).To(BeTrue())
		Expect(unix.Close(pidfd)).To(Succeed())
	})

	if network != "unixgram" { // which has no end
		It("is nobody's at the end, where Linux reports root", func() {
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
				Expect(cred).To(Equal(nobodys), how)
			}
		})
	}

	It("is asked of no closed Conn", func() {
		a, _ := pair(network)
		Expect(a.Close()).To(Succeed())
		cred, err := a.PeerCred()
		Expect(err).To(opFails("get", net.ErrClosed))
		Expect(cred).To(Equal(scm.Cred{PID: 0, UID: -1, GID: -1}))
		pidfd, err := a.PeerPIDFD()
		Expect(err).To(opFails("get", net.ErrClosed))
		Expect(pidfd).To(Equal(-1))
		for _, set := range []func(bool) error{a.PassCred, a.PassPIDFD, a.PassRights} {
			Expect(set(true)).To(opFails("set", net.ErrClosed))
		}
	})
}, everyNetwork)
