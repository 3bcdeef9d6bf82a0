package scm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(network string) {
	It("WriteBuffers sends and ReadBuffers receives several buffers as one message", func() {
		a, b := pair(network)
		sent := pipes(2)
		buffers := [][]byte{[]byte("he"), nil, []byte("llo")}
		Expect(a.WriteBuffers(buffers, sent...)).To(Equal(5))
		Expect(buffers).To(Equal([][]byte{[]byte("he"), nil, []byte("llo")}))
		one, two := make([]byte, 1), make([]byte, 8)
		n, files := both(b.ReadBuffers([][]byte{one, nil, two}, 2))
		Expect(string(one) + string(two[:n-1])).To(Equal("hello"))
		areSame(closeAllLater(files), sent)
	})

	It("WriteBuffers and ReadBuffers accept at most 1024 buffers, and treat an empty list as an empty payload", func() {
		a, b := pair(network)
		many := make([][]byte, scm.MaxBuffers+1)
		Expect(a.WriteBuffers(many)).Error().To(opFails("write", scm.ErrTooManyBuffers))
		Expect(Third(b.ReadBuffers(many, 1))).To(opFails("read", scm.ErrTooManyBuffers))
		f := pipes(1)[0]
		if network == "unix" {
			Expect(a.WriteBuffers(nil)).To(BeZero())
			Expect(a.WriteBuffers(nil, f)).Error().To(opFails("write", scm.ErrEmptyPayload))
			Expect(Third(b.ReadBuffers(nil, 1))).To(opFails("read", scm.ErrEmptyPayload))
		} else {
			CannotEmulate(fdtest.NoBuffers)
			Expect(a.WriteBuffers(nil, f)).To(BeZero())
			receives(b, "", f)
			Expect(a.WriteBuffers(nil, f, f)).To(BeZero())
			Expect(Third(b.ReadBuffers(nil, 1))).To(MatchError(unix.EMSGSIZE))
		}
		Expect(a.WriteFiles([]byte("without"))).To(Equal(7))
		receives(b, "without") // without a file of an earlier call
	})

	It("WriteFDs sends bytes and descriptors", func() {
		a, b := pair(network)
		sent := pipes(3)
		fds := []int{FDOf(sent[0]), FDOf(sent[1]), FDOf(sent[2])}
		Expect(a.WriteFDs([]byte("payload"), fds...)).To(Equal(7))
		receives(b, "payload", sent...)

		Expect(a.WriteFDs([]byte("x"), make([]int, scm.MaxFDs+1)...)).Error().To(opFails("write", scm.ErrTooManyFDs))
		Expect(a.WriteFDs([]byte("x"), -1)).Error().To(opFails("write", unix.EBADF))
		hasNothing(b)
		Expect(a.WriteFDs([]byte("none"))).To(Equal(4))
		receives(b, "none")
	})

	It("passing a file changes neither its blocking mode nor that of the sockets", func() {
		a, b := pair(network)
		nonblocking, _ := pipe()
		blocking := closeLater(os.NewFile(uintptr(ok(pipeEnd(0)())), "blocking"))
		status := func() (all []int) {
			for _, c := range []syscall.Conn{a, b, nonblocking, blocking} {
				all = append(all, statusOf(c))
			}
			return all
		}
		before := status()
		Expect(a.WriteFiles([]byte("x"), nonblocking, blocking)).To(Equal(1))
		_, files := both(b.ReadFiles(make([]byte, 1), 2))
		closeAllLater(files)
		Expect(status()).To(Equal(before))
		Expect(scm.Nonblock(files[0])).To(BeTrue())
		Expect(scm.Nonblock(files[1])).To(BeFalse())
		Expect(files[0].SetDeadline(time.Time{})).To(Succeed(), "it is in the poller")
	})

	for name, option := range controlOptions {
		It("ReadFiles does not blame the sender for control data that "+name+" asks for", func() {
			CannotEmulate(fdtest.NotCut)
			a, b := pair(network)
			if err := unix.SetsockoptInt(FDOf(b), unix.SOL_SOCKET, option, 1); errors.Is(err, unix.ENOPROTOOPT) {
				Skip("this kernel does not have " + name)
			} else {
				Expect(err).NotTo(HaveOccurred())
			}
			for count := range 3 {
				sent := pipes(count)
				before := fdtest.Take()
				for _, max := range []int{0, count} {
					Expect(a.WriteFiles([]byte("x"), sent...)).To(Equal(1))
					n, files, err := b.ReadFiles(make([]byte, 8), max)
					if err == nil { // the option has no effect on this kernel, or on this type of socket
						areSame(files, sent)
						for _, f := range files {
							Expect(f.Close()).To(Succeed())
						}
						continue
					}
					truncated := isTruncated(n, files, err, 1, nil)
					Expect(err).To(MatchError(fmt.Sprintf("scm: message lost descriptors or other control data (%d received, %d requested): if SO_PASSCRED or SO_PASSPIDFD is set on the socket, turn it off", truncated.Received, max)))
				}
				Expect(before.NewSince()).To(BeEmpty())
			}
		})
	}

	if network != "unix" {
		It("ReadFiles reports both lost bytes and lost files, but no cause for the files if credentials took their space", func() {
			a, b := pair(network)
			Expect(b.PassCred(true)).To(Succeed())
			Expect(a.WriteFiles([]byte("longer"), pipes(1)[0])).To(Equal(6))
			n, files, err := b.ReadFiles(make([]byte, 5), 1)
			isTruncated(n, files, err, 5, io.ErrShortBuffer)
			Expect(err).To(MatchError("scm: message was longer than the 5-byte buffer, and " +
				"lost descriptors or other control data (0 received, 1 requested): if SO_PASSCRED or SO_PASSPIDFD is set on the socket, turn it off"))
			Expect(errors.Unwrap(err)).To(MatchError("short buffer"))
		})
	}

	It("ReadFiles with KeepTruncated returns the files before the first lost one if the descriptor table is full", func() {
		RunChild(ChildCommand("conn-nofile", network))
	})

	It("RecvFile returns io.EOF at the end of the connection, although Linux sets MSG_CTRUNC with SO_PASSCRED", func() {
		for _, config := range []scm.Config{{}, {KeepTruncated: true}} {
			step("KeepTruncated: ", config.KeepTruncated)
			a, b := pairWith(config, network)
			if network == "unixgram" {
				Expect(a.Write(nil)).To(BeZero())
				Expect(Second(b.RecvFile())).To(opFails("read", scm.ErrNoFile))
				continue
			}
			Expect(b.PassCred(true)).To(Succeed())
			Expect(a.Close()).To(Succeed())
			Expect(Second(b.RecvFile())).To(BeIdenticalTo(io.EOF))
			Expect(Third(b.ReadFiles(make([]byte, 1), 1))).To(BeIdenticalTo(io.EOF))
		}
	})
}, everyNetwork)

// controlOptions are the options of a socket that add other control data to the descriptors.
var controlOptions = map[string]int{
	"SO_PASSCRED":        unix.SO_PASSCRED,
	"SO_PASSPIDFD":       unix.SO_PASSPIDFD,
	"SO_PASSSEC":         unix.SO_PASSSEC,
	"SO_TIMESTAMP":       unix.SO_TIMESTAMP,
	"SO_TIMESTAMP_NEW":   unix.SO_TIMESTAMP_NEW,
	"SO_TIMESTAMPNS":     unix.SO_TIMESTAMPNS,
	"SO_TIMESTAMPNS_NEW": unix.SO_TIMESTAMPNS_NEW,
}

// conn-nofile receives while only a few descriptors are free. In sent, "p" is the writing end of a pipe, "r" a
// regular file, and "e" a device that is kept out of the poller, whose file needs one more descriptor.
var _ = Child("conn-nofile", func(args []string) {
	r, w := both(os.Pipe())
	kinds := map[rune]*os.File{
		'p': w, 'r': ok(os.Open("/proc/self/exe")), 'e': ok(os.Open("/dev/random")),
	}
	for _, keep := range []bool{false, true} {
		a, b := both(scm.Config{KeepTruncated: keep}.Pair(args[0]))
		Expect(b.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		before, err := fdtest.Take(), error(nil)
		for _, c := range []struct {
			free     int
			sent     string
			files    int
			received string
		}{
			{0, "pppp", 0, "0"}, {1, "pppp", 1, "1"}, {3, "pppp", 3, "3"}, {3, "epp", 0, "3"}, {3, "pep", 1, "3"}, {3, "ppe", 2, "3"},
			{1, "r", 1, ""}, {3, "prr", 3, ""}, {2, "e", 1, ""},
		} {
			var sent []*os.File
			for _, kind := range c.sent {
				sent = append(sent, kinds[kind])
			}
			Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
			var n int
			var files []*os.File
			fdtest.WithFree(c.free, func() { n, files, err = b.ReadFiles(make([]byte, 8), 8) })
			Expect(n).To(Equal(3), c.sent)
			if c.received == "" {
				Expect(err).NotTo(HaveOccurred(), c.sent)
			} else {
				Expect(errorOf[*scm.TruncatedError](err)).To(MatchError(unix.EMFILE))
				Expect(err).To(MatchError(HavePrefix("scm: message lost descriptors (" + c.received + " received, 8 requested): ")))
			}
			if keep || c.received == "" {
				areSame(files, sent[:c.files])
			} else {
				Expect(files).To(BeNil())
			}
			for _, f := range files {
				Expect(f.Close()).To(Succeed())
			}
			Expect(before.NewSince()).To(BeEmpty(), c.sent)
		}
		// both need one more descriptor
		for call, sent := range map[string]syscall.Conn{"RecvFile": kinds['e'], "RecvConn": a} {
			Expect(a.SendConn(fdtest.AsSocket(sent))).To(Succeed())
			fdtest.WithFree(1, func() { err = receiving[call].one(b) })
			Expect(err).To(opFails("read", unix.EMFILE), call)
		}
		Expect(a.SendFile("x", kinds['r'])).To(Succeed())
		var f *os.File
		fdtest.WithFree(1, func() { f, err = b.RecvFile() })
		Expect(f.Close(), err).To(Succeed())
		Expect(before.NewSince()).To(BeEmpty())
	}
	Expect(w.Close()).To(Succeed())
	noWriterIsLeft(r)
})

var _ = It("WriteBuffers writes the whole payload to a stream, and only the first byte carries the descriptors", func() {
	payload := paged(1 << 19)
	for _, size := range []int{len(payload), 4099, 100_003} {
		step("buffers of ", size, " bytes")
		a, b := pair("unix")
		Expect(a.SetWriteBuffer(4096)).To(Succeed())
		f := pipes(1)[0]
		wait := start(func() {
			if size == len(payload) {
				Expect(a.WriteFDs(payload, FDOf(f))).To(Equal(len(payload)))
			} else {
				Expect(a.WriteBuffers(slices.Collect(slices.Chunk(payload, size)), f)).To(Equal(len(payload)))
			}
			Expect(a.CloseWrite()).To(Succeed())
		})
		got, files, before, with := receiveAll(b)
		wait()
		Expect(bytes.Equal(got, payload)).To(BeTrue())
		Expect([]int{before, with}).To(Equal([]int{0, 1}))
		areSame(files, []*os.File{f})
	}
})

var _ = It("NewConnFile makes a Conn for the same socket, and the caller still owns the file", func() {
	checkNoLeak()
	a, b := sockets(unix.SOCK_STREAM)
	f := asFile(a)
	c := withDeadline(ok(scm.NewConnFile(f)))
	sent := pipes(1)[0]
	Expect(c.WriteFiles([]byte("x"), sent)).To(Equal(1))
	other := withDeadline(ok(scm.NewConnFile(asFile(b))))
	receives(other, "x", sent)
	Expect(c.Close()).To(Succeed())
	Expect(f.Stat()).NotTo(BeNil())
	Expect(fdtest.IsOpen(a)).To(BeTrue())
})

var _ = It("NewConnFile rejects a file that is not a Unix socket", func() {
	checkNoLeak()
	r, _ := pipe()
	Expect(scm.NewConnFile(r)).Error().To(opFails("conn", unix.ENOTSOCK))
	Expect(r.Close()).To(Succeed())
	Expect(scm.NewConnFile(r)).Error().To(opFails("conn", os.ErrClosed))
})

var _ = It("Message.Close closes the received descriptors once, after Files only the pidfd", func() {
	a, b := pair("unixpacket")
	supported(b.PassPIDFD(true), "SO_PASSPIDFD, which is from Linux 6.5")
	for _, files := range []bool{false, true} {
		step("after Files: ", files)
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		pidfd := -1
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 4), PIDFD: &pidfd}
		Expect(b.Recv(&m, 0)).To(Succeed())
		Expect(m.NFD).To(Equal(1))
		if files {
			Expect(ok(m.Files())[0].Close()).To(Succeed())
			Expect(fdtest.IsOpen(pidfd)).To(BeTrue())
		}
		m.Close()
		m.Close()
		Expect([]int{m.NFD, pidfd}).To(Equal([]int{0, -1}))
		noWriterIsLeft(r)
	}
})

var _ = It("Message.Files makes files from the received descriptors, and Close then leaves them open", func() {
	a, b := pair("unixpacket")
	for _, n := range []int{0, 1, 3} {
		step(n, " files")
		sent := pipes(n)
		Expect(a.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 4)}
		Expect(b.Recv(&m, 0)).To(Succeed())
		files := ok(m.Files())
		Expect(m.NFD).To(BeZero())
		m.Close()
		areSame(closeAllLater(files), sent)
		Expect(ok(m.Files())).To(BeEmpty(), "it has none left")
		for _, f := range files {
			Expect(f.SetDeadline(time.Time{})).To(Succeed(), "NewFile makes it")
		}
	}
})

var _ = It("Message.Files closes every descriptor if it cannot make a file from one of them", func() {
	RunChild(ChildCommand("files-nofile"))
})

var _ = It("Message.Truncated reports MSG_CTRUNC, and not MSG_TRUNC", func() {
	CannotEmulate(fdtest.NotCut)
	a, b := pair("unixpacket")
	m := scm.Message{Buffers: [][]byte{make([]byte, 3)}, FDs: make([]int, 1)}
	for payload, sent := range map[string]int{"abc": 1, "longer": 1, "def": 2, "long": 2} {
		Expect(a.WriteFiles([]byte(payload), pipes(sent)...)).To(Equal(len(payload)))
		Expect(b.Recv(&m, 0)).To(Succeed())
		Expect(m.Truncated()).To(Equal(sent == 2), payload)
		Expect(m.Flags&unix.MSG_TRUNC != 0).To(Equal(len(payload) > 3))
		m.Close()
	}
})

var _ = It("Message.Files makes files of what is left of a truncated message", func() {
	CannotEmulate(fdtest.NotCut)
	a, b := pair("unixpacket")
	sent := pipes(2)
	Expect(a.WriteFiles([]byte("long"), sent...)).To(Equal(4))
	m := scm.Message{Buffers: [][]byte{make([]byte, 3)}, FDs: make([]int, 1)}
	Expect(b.Recv(&m, 0)).To(Succeed())
	const truncated = unix.MSG_CTRUNC | unix.MSG_TRUNC
	Expect(m.Flags & truncated).To(Equal(truncated))
	areSame(closeAllLater(ok(m.Files())), sent[:1])
})

var _ = It("Message.Close closes nothing if nothing was received", func() {
	a, _ := pair("unix")
	r, _ := pipe()
	number := FDOf(r) // its zero value would be standard input
	m := scm.Message{Buffers: [][]byte{[]byte("x")}, PIDFD: &number}
	m.Close()
	Expect(a.Send(&m, 0)).To(Succeed())
	m.Close()
	Expect(fdtest.IsOpen(FDOf(r))).To(BeTrue())
	Expect(number).To(Equal(FDOf(r)))
})

// files-nofile makes files while the descriptor table is full. The file of /dev/random is kept out of the
// poller, for which it needs one more descriptor.
var _ = Child("files-nofile", func([]string) {
	r, random := ok(os.Open("/proc/self/exe")), ok(os.Open("/dev/random"))
	a, b := both(scm.Pair("unixpacket"))
	before := fdtest.Take()
	for _, sent := range [][]*os.File{{random, r, r}, {r, random, r}, {r, r, random}} {
		Expect(a.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 3)}
		fdtest.WithFree(3, func() {
			Expect(b.Recv(&m, 0)).To(Succeed())
			Expect(m.NFD).To(Equal(3))
			files, err := m.Files()
			Expect(files).To(BeNil())
			Expect(err).To(MatchError(unix.EMFILE))
		})
		Expect(m.NFD).To(BeZero())
		Expect(before.NewSince()).To(BeEmpty())
	}
})

var _ = It("CloseFDs closes descriptors, and ignores negative values", func() {
	checkNoLeak()
	r, w := pipe()
	fds := copies(FDOf(w), FDOf(w))
	Expect(w.Close()).To(Succeed())
	scm.CloseFDs()
	scm.CloseFDs(fds[0], -1, math.MinInt, fds[1])
	noWriterIsLeft(r)
})

var _ = It("CloseFDs does not close the descriptor in the low 32 bits of a larger value", func() {
	if strconv.IntSize < 64 {
		Skip("an int has 32 bits")
	}
	r, _ := pipe()
	scm.CloseFDs(int(int64(1)<<32 + int64(FDOf(r))))
	Expect(fdtest.IsOpen(FDOf(r))).To(BeTrue())
})
