//go:build linux

package scm_test

import (
	"context"
	"net"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("Conn's messages", func(network string) {
	It("have all that a message can carry", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		out := scm.Message{Buffers: [][]byte{[]byte("he"), []byte("llo")}, FDs: []int{NumberOf(f)}}
		Expect(a.Send(&out, 0)).To(Succeed())
		Expect(out.N).To(Equal(5))
		in := scm.Message{Buffers: [][]byte{make([]byte, 1), make([]byte, 8)}, FDs: make([]int, 2)}
		Expect(b.Recv(&in, 0)).To(Succeed())
		Expect(in.N).To(Equal(5))
		Expect(in.NFD).To(Equal(1))
		received := lent(os.NewFile(uintptr(in.FDs[0]), "received"))
		areSame([]*os.File{received}, []*os.File{f})
	})

	It("have the caller's flags", func() {
		a, b := pair(network)
		Expect(a.Write([]byte("hello"))).To(Equal(5))
		m := scm.Message{Buffers: [][]byte{make([]byte, 8)}}
		Expect(b.Recv(&m, unix.MSG_PEEK)).To(Succeed())
		Expect(m.N).To(Equal(5))
		Expect(b.Recv(&m, 0)).To(Succeed())
		Expect(m.N).To(Equal(5))
	})

	It("bring credentials, beside descriptors", func() {
		a, b := pair(network)
		Expect(scm.PassCred(NumberOf(b), true)).To(Succeed())
		f := pipes(1)[0]
		Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), Cred: new(scm.Cred)}
		Expect(b.Recv(&m, 0)).To(Succeed())
		Expect(*m.Cred).To(Equal(scm.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}))
		Expect(m.NFD).To(Equal(1))
		lent(os.NewFile(uintptr(m.FDs[0]), "received"))
	})

	It("wait, and end at the deadline, with nothing in them", func() {
		a, b := pair(network)
		m := scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: make([]int, 1), N: 7, NFD: 7, Flags: 7}
		wait := goes(func() { Expect(b.Recv(&m, 0)).To(opFails("read", os.ErrDeadlineExceeded)) })
		waitsIn("Recv", 1)
		Expect(b.SetReadDeadline(time.Now())).To(Succeed())
		wait()
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))

		fill(a)
		out := scm.Message{Buffers: [][]byte{[]byte("x")}, N: 7}
		wait = goes(func() { Expect(a.Send(&out, 0)).To(opFails("write", os.ErrDeadlineExceeded)) })
		waitsIn("Send", 1)
		Expect(a.SetWriteDeadline(time.Now())).To(Succeed())
		wait()
		Expect(out.N).To(BeZero())
	})

	It("are refused where they would be lost, or are too many", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		if network == "unix" {
			for _, buffers := range [][][]byte{nil, {nil}, {{}, {}}} {
				m := scm.Message{Buffers: buffers, FDs: []int{NumberOf(f)}}
				Expect(a.Send(&m, 0)).To(opFails("write", scm.ErrEmptyPayload))
			}
			Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
			for _, buffers := range [][][]byte{nil, {nil}, {{}, {}}} {
				m := scm.Message{Buffers: buffers, FDs: make([]int, 1), N: 7, NFD: 7, Flags: 7}
				Expect(b.Recv(&m, 0)).To(opFails("read", scm.ErrEmptyPayload))
				Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
			}
			receives(b, "x", f)
		}
		many := scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, scm.MaxFDs+1)}
		Expect(a.Send(&many, 0)).To(opFails("write", scm.ErrTooManyFDs))
		Expect(b.Recv(&many, 0)).To(opFails("read", scm.ErrTooManyFDs))
		closed := scm.Message{Buffers: [][]byte{{0}}, FDs: []int{-1}}
		Expect(a.Send(&closed, 0)).To(opFails("write", unix.EBADF))
		Expect(a.Write([]byte("after"))).To(Equal(5))
		receives(b, "after")
	})
}, everyNetwork)

var _ = Describe("ListenPacket", func() {
	It("receives from whoever sends, and answers who has a name", func() {
		keepsNumbers()
		ctx := context.Background()
		server, err := scm.ListenPacket(ctx, "unixgram", "@"+UniqueName())
		Expect(err).NotTo(HaveOccurred())
		closing(server)
		Expect(server.RemoteAddr()).To(BeNil())
		client, err := scm.ListenPacket(ctx, "unixgram", "@"+UniqueName())
		Expect(err).NotTo(HaveOccurred())
		closing(client)
		f := pipes(1)[0]

		question := scm.Message{
			Buffers: [][]byte{[]byte("question")},
			FDs:     []int{NumberOf(f)},
			Addr:    server.LocalAddr().(*net.UnixAddr),
		}
		Expect(client.Send(&question, 0)).To(Succeed())
		in := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1), Addr: new(net.UnixAddr)}
		Expect(server.Recv(&in, 0)).To(Succeed())
		Expect(in.Addr.Name).To(Equal(client.LocalAddr().String()))
		received := lent(os.NewFile(uintptr(in.FDs[0]), "received"))
		areSame([]*os.File{received}, []*os.File{f})

		answer := scm.Message{Buffers: [][]byte{[]byte("answer")}, Addr: in.Addr}
		Expect(server.Send(&answer, 0)).To(Succeed())
		receives(client, "answer")
		Expect(server.Write([]byte("to nobody"))).Error().To(opFails("write", unix.ENOTCONN))

		unnamed, err := scm.Dial(ctx, "unixgram", server.LocalAddr().String())
		Expect(err).NotTo(HaveOccurred())
		closing(unnamed)
		Expect(unnamed.WriteFiles([]byte("from nobody"), f)).To(Equal(11))
		receives(server, "from nobody", f)
	})
})
