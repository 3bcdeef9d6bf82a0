//go:build linux

package scm_test

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// checked are the calls to which Expect.Min applies on every network: each receives at most one descriptor.
var checked = map[string]func(c *scm.Conn) error{
	"ReadFiles":    receiving["ReadFiles"],
	"ReadBuffers":  func(c *scm.Conn) error { return Third(c.ReadBuffers([][]byte{make([]byte, 1)}, 1)) },
	"ReadFDs":      receiving["ReadFDs"],
	"RecvFile":     receiving["RecvFile"],
	"RecvConn":     receiving["RecvConn"],
	"RecvListener": receiving["RecvListener"],
}

var _ = DescribeTableSubtree("on", func(network string) {
	isPacket := network != "unix"

	// recv receives with Recv, and returns the message. capacity is the length of its FDs, which are -7.
	recv := func(c *scm.Conn, capacity, flags int) (m scm.Message, payload string, err error) {
		m = scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: slices.Repeat([]int{-7}, capacity)}
		err = c.Recv(&m, flags)
		return m, string(m.Buffers[0][:min(m.N, 8)]), err
	}

	It("Config.Expect applies to every receive, which closes the descriptors that do not match", func() {
		e := scm.Expect{Max: 1, Family: unix.AF_INET}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		calls := maps.Clone(checked)
		calls["Recv"] = receiving["Recv"]
		for name, receive := range calls {
			r, w := pipe()
			Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
			Expect(w.Close()).To(Succeed())
			before := fdtest.Take()
			var err error
			if name == "Recv" {
				_, _, err = recv(b, 1, 0)
			} else {
				err = receive(b)
			}
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted an IPv4 socket, got a pipe (write end)"), name)
			Expect(before.NewSince()).To(BeEmpty(), name)
			noWriterIsLeft(r)
		}
		tcp, _ := tcpPair()
		Expect(a.SendConn(tcp)).To(Succeed())
		closeLater(ok(b.RecvConn()))
	})

	It("ReadFiles and RecvFile return only files that match Config.Expect", func() {
		for _, keep := range []bool{false, true} {
			e := scm.Expect{Min: 1, Max: 1, Kind: scm.KindPipe, Access: scm.AccessRead}
			a, b := pairWith(scm.Config{Expect: &e, KeepTruncated: keep}, network)
			r, w := pipe()
			rejects := func(text string, sent ...*os.File) {
				GinkgoHelper()
				before := fdtest.Take()
				Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
				n, files, err := b.ReadFiles(make([]byte, 8), 8)
				Expect(n).To(Equal(3))
				Expect(files).To(BeNil())
				Expect(errorOf[*scm.ExpectError](err)).To(MatchError(text))
				if len(sent) == 1 {
					Expect(a.SendFile("name", sent[0])).To(Succeed())
					Expect(errorOf[*scm.ExpectError](Second(b.RecvFile()))).To(MatchError(text))
				}
				Expect(before.NewSince()).To(BeEmpty(), "rejected, and left open")
			}
			rejects("scm: wanted a pipe open for reading, got a pipe (write end)", w)
			rejects("scm: wanted exactly 1 descriptor, got 2 descriptors", r, w)
			rejects("scm: wanted exactly 1 descriptor, got no descriptor")
			Expect(w.Close()).To(Succeed())
			noWriterIsLeft(r)

			Expect(a.WriteFiles([]byte("xyz"), r)).To(Equal(3))
			receives(b, "xyz", r)
			Expect(a.SendFile("name", r)).To(Succeed())
			areSame([]*os.File{closeLater(ok(b.RecvFile()))}, []*os.File{r})
		}
	})

	It("Config.Expect rejects a log file without O_APPEND", func() {
		e := scm.Expect{Min: 1, Max: 1, Access: scm.AccessWrite, Flags: unix.O_APPEND}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		name := GinkgoT().TempDir() + "/log"
		plain := closeLater(ok(os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)))
		log := closeLater(ok(os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)))
		Expect(a.WriteFiles([]byte("x"), plain)).To(Equal(1))
		Expect(receiving["ReadFiles"](b)).To(MatchError("scm: wanted a file open for writing with O_APPEND, got a regular file (write-only, without O_APPEND)"))
		Expect(a.WriteFiles([]byte("x"), log)).To(Equal(1))
		receives(b, "x", log)
	})

	It("Config.Expect.Min applies to ReadFiles, ReadBuffers, ReadFDs, RecvFile, RecvConn and RecvListener", func() {
		e := scm.Expect{Min: 1, Max: 1}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		for name, receive := range checked {
			Expect(a.Write([]byte("x"))).To(Equal(1))
			if slices.Contains([]string{"RecvFile", "RecvConn", "RecvListener"}, name) {
				Expect(receive(b)).To(opFails("read", scm.ErrNoFile), name)
			} else {
				Expect(errorOf[*scm.ExpectError](receive(b))).To(MatchError("scm: wanted exactly 1 descriptor, got no descriptor"), name)
			}
		}
	})

	It("Config.Expect.Min applies to Recv on datagram and seqpacket sockets, but not on stream sockets", func() {
		e := scm.Expect{Min: 2, Max: 2}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		for n := range 2 {
			Expect(a.WriteFiles([]byte("xyz"), pipes(n)...)).To(Equal(3))
			m, payload, err := recv(b, 2, 0)
			Expect(payload).To(Equal("xyz"))
			if isPacket {
				Expect(errorOf[*scm.ExpectError](err).Index).To(Equal(-1))
				Expect(m.NFD).To(BeZero())
			} else {
				Expect(err).NotTo(HaveOccurred())
				Expect(m.NFD).To(Equal(n))
				m.CloseFDs()
			}
		}
		Expect(a.WriteFiles([]byte("xyz"), pipes(3)...)).To(Equal(3))
		_, _, err := recv(b, 3, 0)
		Expect(errorOf[*scm.ExpectError](err)).To(MatchError(map[bool]string{
			true:  "scm: wanted exactly 2 descriptors, got 3 descriptors",
			false: "scm: wanted at most 2 descriptors, got 3 descriptors",
		}[isPacket]))
	})

	It("a receive fails with EINVAL, and receives nothing, if its capacity is less than Config.Expect.Min", func() {
		e := scm.Expect{Min: 2, Max: 3}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		sent := pipes(2)
		Expect(a.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		impossible := And(opFails("read", unix.EINVAL),
			MatchError(HaveSuffix("scm: Expect requires at least 2 and at most 3 descriptors, but the call receives at most 1")))
		for name, receive := range checked {
			Expect(receive(b)).To(impossible, name)
		}
		if isPacket {
			Expect(receiving["Recv"](b)).To(impossible)
		}
		m, payload, err := recv(b, 3, 0)
		Expect(payload, err).To(Equal("x"))
		Expect(m.NFD).To(Equal(2))
		m.CloseFDs()
	})

	It("Recv returns the payload and its length with an ExpectError, and the conversation can continue", func() {
		e := scm.Expect{Max: 2}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		before := fdtest.Take()
		Expect(a.WriteFDs([]byte("abcdef"), slices.Repeat([]int{FDOf(a)}, 3)...)).To(Equal(6))
		m, payload, err := recv(b, 4, 0)
		Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted at most 2 descriptors, got 3 descriptors"))
		Expect(payload).To(Equal("abcdef"))
		Expect([]int{m.N, m.NFD}).To(Equal([]int{6, 0}))
		Expect(m.FDs).To(Equal([]int{-1, -1, -1, -7}))
		Expect(before.NewSince()).To(BeEmpty())

		if !isPacket { // the rest of a message that was rejected
			Expect(a.WriteFDs([]byte("123456789"), slices.Repeat([]int{FDOf(a)}, 3)...)).To(Equal(9))
			_, payload, err = recv(b, 4, 0)
			Expect(errorOf[*scm.ExpectError](err).Got).To(Equal("3 descriptors"))
			Expect(payload).To(Equal("12345678"))
			_, payload, err = recv(b, 4, 0)
			Expect(payload, err).To(Equal("9"))
		}
		Expect(a.Write([]byte("after"))).To(Equal(5))
		_, payload, err = recv(b, 4, 0)
		Expect(payload, err).To(Equal("after"))
	})

	It("Config.Expect applies to the descriptors of each receive with MSG_PEEK", func() {
		e := scm.Expect{Max: 1, Kind: scm.KindSocket}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		Expect(a.WriteFiles([]byte("pipe"), pipes(1)...)).To(Equal(4))
		before := fdtest.Take()
		for _, flags := range []int{unix.MSG_PEEK, unix.MSG_PEEK, 0} {
			m, payload, err := recv(b, 1, flags)
			Expect(errorOf[*scm.ExpectError](err).Got).To(Equal("a pipe (read end)"))
			Expect(payload).To(Equal("pipe"))
			Expect(m.FDs).To(Equal([]int{-1}))
			Expect(before.NewSince()).To(BeEmpty())
		}
		Expect(a.WriteFDs([]byte("socket"), FDOf(a))).To(Equal(6))
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			m, payload, err := recv(b, 1, flags)
			Expect(payload, err).To(Equal("socket"))
			Expect(fdtest.Same(m.FDs[0], FDOf(a))).To(BeTrue())
			m.CloseFDs()
		}
	})

	It("Recv closes the pidfd of a message that does not match Config.Expect", func() {
		e := scm.Expect{Max: 1, Kind: scm.KindSocket}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		supported(b.PassPIDFD(true), "SO_PASSPIDFD, which is from Linux 6.5")
		Expect(a.WriteFiles([]byte("x"), pipes(1)...)).To(Equal(1))
		before := fdtest.Take()
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), PIDFD: &pidfd}
		errorOf[*scm.ExpectError](b.Recv(&m, 0))
		Expect(pidfd).To(Equal(-1))
		Expect(before.NewSince()).To(BeEmpty())
	})

	It("Recv reports truncation in Flags, whether or not Config.Expect.Truncated is set", func() {
		CannotEmulate(fdtest.NotCut)
		for _, truncated := range []bool{false, true} {
			e := scm.Expect{Min: 1, Max: 8, Kind: scm.KindPipe, Truncated: truncated}
			a, b := pairWith(scm.Config{Expect: &e}, network)
			sent := pipes(3)
			Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
			m, _, err := recv(b, 2, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(m.Truncated()).To(BeTrue())
			areSame(closeAllLater(ok(m.Files())), sent[:2])

			Expect(a.WriteFDs([]byte("xyz"), slices.Repeat([]int{FDOf(a)}, 3)...)).To(Equal(3))
			_, _, err = recv(b, 2, 0)
			Expect(errorOf[*scm.ExpectError](err).Got).To(ContainSubstring("Unix"), "what arrived is checked")
			if isPacket {
				Expect(a.WriteFiles([]byte("too long a message"), sent[0])).To(Equal(18))
				m, payload, err := recv(b, 2, 0)
				Expect(payload, err).To(Equal("too long"))
				Expect(m.Flags & unix.MSG_TRUNC).NotTo(BeZero())
				areSame(closeAllLater(ok(m.Files())), sent[:1])
			}
			Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
			n, files, err := b.ReadFiles(make([]byte, 8), 2)
			isTruncated(n, files, err, 3, unix.EMSGSIZE)
		}
	})

	It("Config.Expect.Min applies to a truncated message too", func() {
		e := scm.Expect{Min: 1, Max: 1}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		Expect(b.PassCred(true)).To(Succeed()) // the credentials take the space of the descriptor
		Expect(a.WriteFiles([]byte("x"), pipes(1)...)).To(Equal(1))
		m, _, err := recv(b, 1, 0)
		Expect(m.Truncated()).To(BeTrue())
		if isPacket {
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted exactly 1 descriptor, got no descriptor in a truncated message"))
		} else {
			Expect(err).NotTo(HaveOccurred())
		}
	})

	if network == "unixgram" {
		It("Config.Expect.Min applies to an empty datagram", func() {
			e := scm.Expect{Min: 1, Max: 1}
			a, b := pairWith(scm.Config{Expect: &e}, network)
			for range 2 {
				Expect(a.Write(nil)).To(BeZero())
			}
			_, _, err := recv(b, 1, 0)
			Expect(errorOf[*scm.ExpectError](err).Got).To(Equal("no descriptor"))
			Expect(errorOf[*scm.ExpectError](receiving["ReadFDs"](b)).Got).To(Equal("no descriptor"))
		})
	} else {
		It("no receive returns an ExpectError at the end of the connection", func() {
			for _, e := range []scm.Expect{{}, {Max: 1}, {Min: 1, Max: 1}} {
				for _, credentials := range []bool{false, true} { // for which the kernel sets MSG_CTRUNC at the end of a stream
					a, b := pairWith(scm.Config{Expect: &e}, network)
					Expect(b.PassCred(credentials)).To(Succeed())
					if isPacket && !credentials { // it looks like the end
						Expect(a.Write(nil)).To(BeZero())
						m, _, err := recv(b, 1, 0)
						Expect([]int{m.N, m.NFD}, err).To(Equal([]int{0, 0}))
					}
					Expect(a.Close()).To(Succeed())
					for name, receive := range checked {
						Expect(receive(b)).To(BeIdenticalTo(io.EOF), name)
					}
					m, _, err := recv(b, 1, 0)
					Expect([]int{m.N, m.NFD}, err).To(Equal([]int{0, 0}))

					pidfd := -7 // the end has no sender
					if b.PassPIDFD(true) == nil {
						m = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), PIDFD: &pidfd, Cred: new(scm.Cred)}
						Expect(b.Recv(&m, 0)).To(Succeed())
						Expect(pidfd).To(Equal(-1))
					}
				}
			}
		})
	}

	It("Config.Expect does not apply to the methods of net.UnixConn", func() {
		e := scm.Expect{Min: 1, Max: 1}
		a, b := pairWith(scm.Config{Expect: &e}, network)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
	})

	It("making a Conn fails with EINVAL if no message can match Config.Expect", func() {
		checkNoLeak()
		a, _ := sockets(unix.SOCK_STREAM)
		impossible := maps.Clone(unsatisfiable)
		impossible["scm: Expect requires at least 254 descriptors, but a message carries at most 253"] = scm.Expect{Min: scm.MaxFDs + 1, Max: 300}
		for text, e := range impossible {
			config, wrong := scm.Config{Expect: &e}, And(MatchError(unix.EINVAL), MatchError(HaveSuffix(text)))
			_, _, err := config.Pair(network)
			Expect(err).To(wrong)
			Expect(Second(config.NewConnFD(a))).To(wrong)
			Expect(fdtest.IsOpen(a)).To(BeTrue())
			if network == "unixgram" {
				Expect(Second(config.ListenPacket(context.Background(), network, AbstractName()))).To(wrong)
			} else {
				Expect(Second(config.Listen(context.Background(), network, AbstractName()))).To(wrong)
			}
		}
	})
}, everyNetwork)
