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
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(network string) {
	It("Conn.Send and Recv pass buffers, descriptors, credentials and flags", func() {
		a, b := pair(network)
		Expect(b.PassCred(true)).To(Succeed())
		f := pipes(1)[0]
		out := scm.Message{Buffers: [][]byte{[]byte("he"), []byte("llo")}, FDs: []int{FDOf(f)}}
		Expect(a.Send(&out, 0)).To(Succeed())
		Expect(out.N).To(Equal(5))
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			in := scm.Message{Buffers: [][]byte{make([]byte, 1), make([]byte, 8)}, FDs: make([]int, 2), Cred: new(scm.Cred)}
			Expect(b.Recv(&in, flags)).To(Succeed())
			Expect(string(in.Buffers[0]) + string(in.Buffers[1][:in.N-1])).To(Equal("hello"))
			Expect(in.NFD).To(Equal(1))
			areSame([]*os.File{closeLater(os.NewFile(uintptr(in.FDs[0]), "received"))}, []*os.File{f})
			Expect(*in.Cred).To(Equal(self()))
		}
	})

	It("Conn.Send rejects more than 253 descriptors, and on a stream socket descriptors without a payload", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		if network == "unix" {
			Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
			for _, buffers := range [][][]byte{nil, {nil}, {{}, {}}} {
				out := scm.Message{Buffers: buffers, FDs: []int{FDOf(f)}}
				Expect(a.Send(&out, 0)).To(opFails("write", scm.ErrEmptyPayload))
				Expect(receiveMessage(func(in *scm.Message, flags int) error {
					in.Buffers = buffers
					return b.Recv(in, flags)
				})).To(And(opFails("read", scm.ErrEmptyPayload), MatchError(HaveSuffix("scm: receiving from a stream socket requires a buffer of at least one byte"))))
			}
			receives(b, "x", f)
		}
		many := scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, scm.MaxFDs+1)}
		Expect(a.Send(&many, 0)).To(opFails("write", scm.ErrTooManyFDs))
		Expect(b.Recv(&many, 0)).To(opFails("read", scm.ErrTooManyFDs))
		closed := scm.Message{Buffers: [][]byte{{0}}, FDs: []int{-1}}
		Expect(a.Send(&closed, 0)).To(opFails("write", unix.EBADF))
		hasNothing(b)
	})

	It("Conn.Send and Recv with MSG_DONTWAIT return EAGAIN instead of waiting, even for another call", func() {
		a, b := pair(network)
		in := scm.Message{Buffers: [][]byte{make([]byte, 1)}, N: 7}
		wouldWait := And(opFails("read", unix.EAGAIN), MatchError(ContainSubstring("recvmsg")))
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(wouldWait)
		Expect(in.N).To(BeZero())
		reads := start(func() { receives(b, "x") })
		waitsIn("ReadFiles", 1)
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(wouldWait)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		reads()
		Expect(a.Write([]byte("y"))).To(Equal(1))
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(Succeed())
		Expect(in.N).To(Equal(1))

		fill(a)
		out := scm.Message{Buffers: [][]byte{[]byte("x")}, N: 7}
		Expect(a.Send(&out, unix.MSG_DONTWAIT)).To(And(opFails("write", unix.EAGAIN), MatchError(ContainSubstring("sendmsg"))))
		Expect(out.N).To(BeZero())
	})
}, everyNetwork)

var _ = It("a Conn from ListenPacket receives from any sender, and can reply to a sender that has an address", func() {
	checkNoLeak()
	ctx, f := context.Background(), pipes(1)[0]
	server := withDeadline(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
	client := withDeadline(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
	unnamed := withDeadline(ok(scm.Dial(ctx, "unixgram", server.LocalAddr().String())))
	question := scm.Message{Buffers: [][]byte{[]byte("question")}, FDs: []int{FDOf(f)}, Addr: server.LocalAddr().(*net.UnixAddr)}
	Expect(client.Send(&question, 0)).To(Succeed())
	in := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1), Addr: new(net.UnixAddr)}
	Expect(server.Recv(&in, 0)).To(Succeed())
	Expect(in.Addr.Name).To(Equal(client.LocalAddr().String()))
	areSame([]*os.File{closeLater(os.NewFile(uintptr(in.FDs[0]), "received"))}, []*os.File{f})
	Expect(server.Send(&scm.Message{Buffers: [][]byte{[]byte("answer")}, Addr: in.Addr}, 0)).To(Succeed())
	receives(client, "answer")

	Expect(unnamed.WriteFiles([]byte("no name"), f)).To(Equal(7))
	receives(server, "no name", f)
	Expect(server.WriteFiles([]byte("an answer"), f)).Error().To(opFails("write", unix.ENOTCONN))
})

// A send to a datagram socket whose queue is full is EAGAIN, although the poller reports that the sender's socket
// is writable.

// fullQueue makes a datagram socket with a full queue, a sender that is connected to it or sends to its name, and
// the message to send.
func fullQueue(connected bool) (receiver, sender *scm.Conn, m *scm.Message) {
	GinkgoHelper()
	ctx, name := context.Background(), AbstractName()
	receiver = ok(scm.ListenPacket(ctx, "unixgram", name))
	m = &scm.Message{Buffers: [][]byte{[]byte("x")}}
	if connected {
		sender = ok(scm.Dial(ctx, "unixgram", name))
	} else {
		m.Addr = receiver.LocalAddr().(*net.UnixAddr)
		sender = ok(scm.ListenPacket(ctx, "unixgram", AbstractName()))
	}
	fillQueue(sender, m)
	return receiver, sender, m
}

func fillQueue(sender *scm.Conn, m *scm.Message) {
	GinkgoHelper()
	var err error
	for err == nil {
		err = sender.Send(m, unix.MSG_DONTWAIT)
	}
	Expect(err).To(opFails("write", unix.EAGAIN))
}

var _ = DescribeTableSubtree("on", func(connected bool) {
	It("Send to a full queue waits until the receiver reads, a deadline passes, or the Conn is closed", func() {
		checkNoLeak()
		receiver, sender, m := fullQueue(connected)
		withDeadline(receiver)
		withDeadline(sender)
		sends := func(matcher types.GomegaMatcher) (wait func()) {
			wait = start(func() { Expect(sender.Send(m, 0)).To(matcher) })
			waitsIn("Send", 1)
			return wait
		}
		m.Buffers[0][0] = 'y'
		sent := sends(Succeed())
		for p := []byte{0}; p[0] != 'y'; {
			Expect(receiver.Read(p)).To(Equal(1))
		}
		sent()
		fillQueue(sender, m)
		for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(100 * time.Millisecond)} {
			ended := sends(opFails("write", os.ErrDeadlineExceeded))
			Expect(sender.SetWriteDeadline(deadline)).To(Succeed())
			ended()
			Expect(m.N).To(BeZero())
			Expect(sender.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())
		}
		ended := sends(opFails("write", net.ErrClosed))
		Expect(sender.Close()).To(Succeed())
		ended()
	})

	It("Send to a full queue does not retry in a busy loop", func() {
		CannotEmulate(fdtest.Traced)
		strace := FindStrace()
		record := filepath.Join(GinkgoT().TempDir(), "calls")
		cmd := ChildCommand("full-queue", strconv.FormatBool(connected))
		RunChild(ChildUnder(cmd, strace, "-f", "-o", record, "-e", "trace=sendmsg"))
		// The sends that fill the queue, and then at most one every 50 ms.
		Expect(strings.Count(string(ok(os.ReadFile(record))), "EAGAIN")).To(And(BeNumerically(">=", 2), BeNumerically("<", 60)))
	})
},
	Entry("unconnected datagram sockets,", false),
	Entry("connected datagram sockets,", true),
)

var _ = Child("full-queue", func(args []string) {
	_, sender, m := fullQueue(args[0] == "true")
	Expect(sender.SetWriteDeadline(time.Now().Add(time.Second))).To(Succeed())
	Expect(sender.Send(m, 0)).To(opFails("write", os.ErrDeadlineExceeded))
})
