//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
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

	It("comes with a message, once it is asked for", func() {
		a, b := pair(network)
		Expect(b.PassCred(true)).To(Succeed())
		_, err := a.Write([]byte("x"))
		Expect(err).NotTo(HaveOccurred())
		var cred scm.Cred
		Expect(b.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}, Cred: &cred}, 0)).To(Succeed())
		Expect(cred).To(Equal(self()))

		Expect(b.PassCred(false)).To(Succeed())
		supported(b.PassPIDFD(true), "SO_PASSPIDFD, which is from Linux 6.5")
		_, err = a.Write([]byte("x"))
		Expect(err).NotTo(HaveOccurred())
		pidfd := -1
		Expect(b.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}, PIDFD: &pidfd}, 0)).To(Succeed())
		Expect(fdtest.IsOpen(pidfd)).To(BeTrue())
		Expect(unix.Close(pidfd)).To(Succeed())
	})

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
			err := b.Recv(&m, unix.MSG_DONTWAIT)
			if network == "unixgram" { // which has no end, or one that is an error
				Expect(err).To(Or(BeIdenticalTo(io.EOF), MatchError(unix.EAGAIN)), how)
			} else {
				Expect(err).NotTo(HaveOccurred())
			}
			Expect([]int{m.N, m.NFD}).To(Equal([]int{0, 0}), how)
			Expect(cred).To(Equal(nobodys), how)
		}
	})

	It("may be kept from passing descriptors", func() {
		a, b := pair(network)
		supported(b.PassRights(false), "SO_PASSRIGHTS, which is from Linux 6.16")
		r, _ := pipe()
		_, err := a.WriteFiles([]byte("x"), r)
		Expect(err).To(MatchError(unix.EPERM))
		Expect(b.PassRights(true)).To(Succeed())
		Expect(a.WriteFiles([]byte("x"), r)).To(Equal(1))
	})

	It("is asked of no closed Conn, and of no nil one", func() {
		a, _ := pair(network)
		Expect(a.Close()).To(Succeed())
		for c, want := range map[*scm.Conn]error{a: net.ErrClosed, nil: os.ErrInvalid} {
			cred, err := c.PeerCred()
			Expect(err).To(MatchError(want))
			Expect(cred).To(Equal(scm.Cred{PID: 0, UID: -1, GID: -1}))
			pidfd, err := c.PeerPIDFD()
			Expect(err).To(MatchError(want))
			Expect(pidfd).To(Equal(-1))
			for _, call := range []func(bool) error{c.PassCred, c.PassPIDFD, c.PassRights} {
				Expect(call(true)).To(MatchError(want))
			}
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
			Expect(c.RecvExpect(scm.Expect{Max: 1}, &m, 0)).To(MatchError(want))
		}
	})

	It("is told by a net.OpError", func() {
		a, _ := pair(network)
		Expect(a.Close()).To(Succeed())
		_, err := a.PeerCred()
		var op *net.OpError
		Expect(errors.As(err, &op)).To(BeTrue())
		Expect(op.Net).To(Equal(network))
	})

	It("is held to what is expected", func() {
		a, b := pair(network)
		r, w := pipe()
		reading := scm.Expect{Min: 1, Max: 1, Kind: "pipe", Access: "read-only"}
		m := scm.Message{Buffers: [][]byte{make([]byte, 4)}, FDs: make([]int, 4)}

		before := fdtest.Take()
		Expect(a.WriteFiles([]byte("bad"), w)).To(Equal(3))
		err := b.RecvExpect(reading, &m, 0)
		var failed *scm.ExpectError
		Expect(errors.As(err, &failed)).To(BeTrue(), "%v", err)
		Expect(failed.Error()).To(Equal("scm: wanted a pipe (read end), got a pipe (write end)"))
		Expect([]int{m.N, m.NFD, m.FDs[0]}).To(Equal([]int{3, 0, -1}))
		Expect(before.NewSince()).To(BeEmpty(), "refused, and left open")

		Expect(a.WriteFiles([]byte("good"), r)).To(Equal(4))
		Expect(b.RecvExpect(reading, &m, 0)).To(Succeed())
		Expect([]int{m.N, m.NFD}).To(Equal([]int{4, 1}))
		Expect(unix.Close(m.FDs[0])).To(Succeed())
	})
}, everyNetwork)

var _ = DescribeTableSubtree("a Listener's Check of the peer", func(network string, typ int) {
	It("lets one user in and another not", func() {
		needsAccepted(typ)
		keepsNumbers()
		var refused []scm.Cred
		mine := func(c *scm.Conn) error {
			peer, err := c.PeerCred()
			if err == nil && peer.UID != os.Geteuid() {
				refused = append(refused, peer)
				err = os.ErrPermission
			}
			return err
		}
		l, err := scm.Config{Check: mine}.Listen(context.Background(), network, "")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(l.Close)
		Expect(l.SetDeadline(time.Now().Add(Hang))).To(Succeed())

		stranger := ChildCommand("connect", strconv.Itoa(typ), l.Addr().String())
		id := asStranger(stranger)
		pid, end := connected(stranger)
		client, err := scm.Dial(context.Background(), network, l.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		closing(client)
		// The stranger was first in the queue.
		server, err := l.AcceptConn()
		Expect(err).NotTo(HaveOccurred())
		closing(server)
		Expect(server.PeerCred()).To(Equal(self()))
		Expect(refused).To(ConsistOf(scm.Cred{PID: pid, UID: id, GID: id + 1}))
		end()
	})
}, Entry("unix", "unix", unix.SOCK_STREAM), Entry("unixpacket", "unixpacket", unix.SOCK_SEQPACKET))
