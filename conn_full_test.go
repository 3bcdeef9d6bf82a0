//go:build linux

package scm_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A datagram that finds the receiver's queue full is EAGAIN, while the sender's
// socket counts as writable.

// fullQueue makes a datagram socket with a full queue, one that sends to its name
// or is connected to it, and what it sends.
func fullQueue(connected bool) (receiver, sender *scm.Conn, m *scm.Message) {
	GinkgoHelper()
	ctx, name := context.Background(), "@"+UniqueName()
	receiver, err := scm.ListenPacket(ctx, "unixgram", name)
	Expect(err).NotTo(HaveOccurred())
	m = &scm.Message{Buffers: [][]byte{[]byte("x")}}
	if connected {
		sender, err = scm.Dial(ctx, "unixgram", name)
	} else {
		m.Addr = receiver.LocalAddr().(*net.UnixAddr)
		sender, err = scm.ListenPacket(ctx, "unixgram", "@"+UniqueName())
	}
	Expect(err).NotTo(HaveOccurred())
	for err = nil; err == nil; {
		err = sender.Send(m, unix.MSG_DONTWAIT)
	}
	Expect(err).To(opFails("write", unix.EAGAIN))
	return receiver, sender, m
}

var _ = DescribeTableSubtree("a datagram to a full queue", func(connected bool) {
	It("goes once there is room", func() {
		keepsNumbers()
		receiver, sender, m := fullQueue(connected)
		closing(receiver)
		closing(sender)
		m.Buffers[0][0] = 'y'
		sends := goes(func() { Expect(sender.Send(m, 0)).To(Succeed()) })
		waitsIn("Send", 1)
		for p := []byte{0}; p[0] != 'y'; {
			Expect(receiver.Read(p)).To(Equal(1))
		}
		sends()
	})

	It("waits until its deadline, one that is set meanwhile, or Close", func() {
		keepsNumbers()
		receiver, sender, m := fullQueue(connected)
		closing(receiver)
		closing(sender)
		Expect(sender.SetDeadline(time.Now().Add(10 * time.Millisecond))).To(Succeed())
		Expect(sender.Send(m, 0)).To(opFails("write", os.ErrDeadlineExceeded))
		Expect(m.N).To(BeZero())

		Expect(sender.SetDeadline(time.Time{})).To(Succeed())
		for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(100 * time.Millisecond)} {
			sends := goes(func() { Expect(sender.Send(m, 0)).To(opFails("write", os.ErrDeadlineExceeded)) })
			waitsIn("Send", 1)
			Expect(sender.SetWriteDeadline(deadline)).To(Succeed())
			sends()
			Expect(sender.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())
		}

		sends := goes(func() { Expect(sender.Send(m, 0)).To(opFails("write", net.ErrClosed)) })
		waitsIn("Send", 1)
		Expect(sender.Close()).To(Succeed())
		sends()
	})

	It("waits without making system calls all the time", func() {
		CannotEmulate(fdtest.Traced)
		strace := FindStrace()
		record := filepath.Join(GinkgoT().TempDir(), "calls")
		cmd := ChildCommand("full-queue", strconv.FormatBool(connected))
		program, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		cmd.Args = []string{strace, "-f", "-o", record, "-e", "trace=sendmsg", program, strconv.FormatBool(connected)}
		cmd.Path = strace
		RunChild(cmd)
		text, err := os.ReadFile(record)
		Expect(err).NotTo(HaveOccurred())
		// Those that fill the queue, and one every 50 ms at last.
		Expect(strings.Count(string(text), "EAGAIN")).To(And(BeNumerically(">=", 2), BeNumerically("<", 60)))
	})
},
	Entry("of a name", false),
	Entry("of a connected socket", true),
)

var _ = Child("full-queue", func(args []string) {
	receiver, sender, m := fullQueue(args[0] == "true")
	Expect(sender.SetWriteDeadline(time.Now().Add(time.Second))).To(Succeed())
	Expect(sender.Send(m, 0)).To(opFails("write", os.ErrDeadlineExceeded))
	Expect(receiver.Close()).To(Succeed())
	Expect(sender.Close()).To(Succeed())
})

var _ = DescribeTableSubtree("MSG_DONTWAIT", func(network string) {
	It("is EAGAIN where a call would wait", func() {
		a, b := pair(network)
		in := scm.Message{Buffers: [][]byte{make([]byte, 1)}, N: 7}
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(And(opFails("read", unix.EAGAIN), MatchError(ContainSubstring("recvmsg"))))
		Expect(in.N).To(BeZero())
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(Succeed())
		Expect(in.N).To(Equal(1))

		fill(a)
		out := scm.Message{Buffers: [][]byte{[]byte("x")}, N: 7}
		Expect(a.Send(&out, unix.MSG_DONTWAIT)).To(And(opFails("write", unix.EAGAIN), MatchError(ContainSubstring("sendmsg"))))
		Expect(out.N).To(BeZero())
	})

	It("does not wait for its turn", func() {
		a, b := pair(network)
		reads := goes(func() { Expect(b.Read(make([]byte, 1))).To(Equal(1)) })
		waitsIn("Read", 1)
		in := scm.Message{Buffers: [][]byte{make([]byte, 1)}}
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(And(opFails("read", unix.EAGAIN), MatchError(ContainSubstring("recvmsg"))))
		Expect(a.Write([]byte("x"))).To(Equal(1))
		reads()
	})
}, everyNetwork)
