//go:build linux

package scm_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// maxBatch is the maximum number of messages per call.
const maxBatch = 32

// letters makes n messages to send. The i-th has three buffers with i+3 bytes in all, one of them empty, and
// i mod 4 descriptors of its own.
func (f *fixture) letters(n int) []scm.Message {
	GinkgoHelper()
	ms := make([]scm.Message, n)
	for i := range ms {
		text := bytes.Repeat([]byte{byte(i)}, i+3)
		ms[i] = scm.Message{Buffers: cut(text, 2, 0, i+1), FDs: f.files(i % 4), N: 7, NFD: 7, Flags: 7}
	}
	return ms
}

// slots makes n messages to receive them into.
func slots(n int) []scm.Message {
	ms := make([]scm.Message, n)
	for i := range ms {
		ms[i] = scm.Message{Buffers: cut(make([]byte, 64), 1, 63), FDs: make([]int, 4), N: 7, NFD: 7, Flags: 7}
	}
	return ms
}

// arrived checks that each slot has the message that was sent.
func (f *fixture) arrived(got, sent []scm.Message) {
	GinkgoHelper()
	Expect(got).To(HaveLen(len(sent)))
	for i := range got {
		text := slices.Concat(sent[i].Buffers...)
		Expect([]int{got[i].N, got[i].Flags}).To(Equal([]int{len(text), 0}), "N and Flags of slot %d", i)
		Expect(slices.Concat(got[i].Buffers...)[:got[i].N]).To(Equal(text), "payload of slot %d", i)
		f.receivedSame(got[i].FDs[:got[i].NFD], sent[i].FDs...)
	}
}

// untouched checks slots that received nothing.
func untouched(ms []scm.Message) {
	GinkgoHelper()
	for i := range ms {
		Expect([]int{ms[i].N, ms[i].NFD, ms[i].Flags}).To(Equal([]int{0, 0, 0}), "N, NFD and Flags of slot %d", i)
	}
}

// sentLengths checks N in messages that were sent.
func sentLengths(ms []scm.Message) {
	GinkgoHelper()
	for i := range ms {
		Expect(ms[i].N).To(Equal(len(slices.Concat(ms[i].Buffers...))), "N of message %d", i)
	}
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	for _, n := range []int{0, 1, 2, maxBatch, maxBatch + 1} {
		It("SendBatch and RecvBatch pass "+Count(n, "message")+", at most 32 per call", func() {
			out, in := f.letters(n), slots(n)
			Expect(scm.SendBatch(f.a, out, 0)).To(Equal(min(n, maxBatch)))
			Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(min(n, maxBatch)))
			first := min(n, maxBatch)
			sentLengths(out[:first])
			f.arrived(in[:first], out[:first])
			untouched(in[first:])
			Expect(scm.SendBatch(f.a, out[first:], 0)).To(Equal(n - first))
			Expect(scm.RecvBatch(f.b, in[first:], 0)).To(Equal(n - first))
			f.arrived(in[first:], out[first:])
			isEmpty(f.b)
		})
	}

	It("a batch passes the same messages as single calls", func() {
		out := f.letters(5)
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(5))
		for i := range out {
			m := slots(1)
			Expect(scm.Recv(f.b, &m[0], 0)).To(Succeed())
			f.arrived(m, out[i:i+1])
		}
		for i := range out {
			Expect(scm.Send(f.a, &out[i], 0)).To(Succeed())
		}
		in := slots(5)
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(5))
		f.arrived(in, out)
	})

	It("SendBatch and RecvBatch pass messages with the maximum number of buffers and descriptors", func() {
		fds := f.files(scm.MaxFDs)
		out, in := make([]scm.Message, 2), make([]scm.Message, 2)
		for i := range out {
			out[i] = scm.Message{Buffers: cut(pattern(1024), slices.Repeat([]int{1}, 1024)...), FDs: fds}
			in[i] = scm.Message{Buffers: cut(make([]byte, 1024), slices.Repeat([]int{1}, 1024)...), FDs: make([]int, scm.MaxFDs)}
		}
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(2))
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(2))
		f.arrived(in, out)
	})

	It("RecvBatch reports truncation in each message separately", func() {
		CannotEmulate(fdtest.NotCut)
		fds := f.files(3)
		out, in := make([]scm.Message, 4), slots(4)
		for i := range out {
			out[i] = scm.Message{Buffers: [][]byte{{byte(i)}}, FDs: fds}
		}
		out[3].FDs = nil
		in[0].FDs, in[2].FDs = make([]int, 1), nil
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(4))
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(4))
		for i, want := range []struct{ nfd, flags int }{{1, unix.MSG_CTRUNC}, {3, 0}, {0, unix.MSG_CTRUNC}, {0, 0}} {
			Expect([]int{in[i].N, in[i].NFD, in[i].Flags}).To(Equal([]int{1, want.nfd, want.flags}), "slot %d", i)
			f.receivedSame(in[i].FDs[:in[i].NFD], fds[:want.nfd]...)
		}
	})

	for _, bad := range []int{0, 1, 3} {
		It(fmt.Sprintf("SendBatch stops at message %d, whose descriptor is not open, and loses or repeats no message", bad), func() {
			before := fdtest.Take()
			out := f.letters(5)
			good := out[bad].FDs
			out[bad].FDs = append(slices.Clone(good), f.closedFD())
			rest := out
			if bad > 0 {
				Expect(scm.SendBatch(f.a, out, 0)).To(Equal(bad))
				sentLengths(out[:bad])
				rest = out[bad:]
			}
			Expect(scm.SendBatch(f.a, rest, 0)).Error().To(failed("sendmmsg", unix.EBADF))
			untouchedLengths(rest)

			in := slots(8)
			if bad > 0 {
				Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(bad))
				f.arrived(in[:bad], out[:bad])
			}
			isEmpty(f.b)

			out[bad].FDs = good
			Expect(scm.SendBatch(f.a, rest, 0)).To(Equal(5 - bad))
			in = slots(8)
			Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(5 - bad))
			f.arrived(in[:5-bad], rest)
			isEmpty(f.b)
			f.Close()
			Expect(len(fdtest.Take())).To(Equal(len(before)-2), "open numbers, without the two sockets")
		})
	}

	DescribeTable("SendBatch rejects the whole batch if one message has",
		func(wrong func(m *scm.Message), check func(err error)) {
			for _, at := range []int{0, 2, maxBatch} {
				out := f.letters(maxBatch + 1)
				wrong(&out[at])
				if at == maxBatch && out[at].Addr != nil {
					continue // the first call does not reach it
				}
				for _, sock := range []int{-1, f.a} {
					n, err := scm.SendBatch(sock, out, 0)
					check(err)
					Expect(n).To(Equal(0))
					untouchedLengths(out)
					out[0].N = 7
				}
			}
			isEmpty(f.b)
		},
		Entry("254 descriptors", func(m *scm.Message) { m.FDs = make([]int, scm.MaxFDs+1) },
			func(err error) { beLimit(err, scm.ErrTooManyFDs, unix.EINVAL) }),
		Entry("1025 buffers", func(m *scm.Message) { m.Buffers = make([][]byte, scm.MaxBuffers+1) },
			func(err error) { beLimit(err, scm.ErrTooManyBuffers, unix.EMSGSIZE) }),
		Entry("an address that is too long", func(m *scm.Message) { m.Addr = &net.UnixAddr{Name: strings.Repeat("x", 109)} },
			func(err error) { failsWith(err, "sendmmsg", unix.EINVAL) }),
	)

	It("RecvBatch rejects the whole batch if one message has capacity for too many buffers or descriptors", func() {
		out := f.letters(3)
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(3))
		for _, at := range []int{0, 2, maxBatch} {
			in := slots(maxBatch + 1)
			in[at].FDs = make([]int, scm.MaxFDs+1)
			n, err := scm.RecvBatch(f.b, in, 0)
			beLimit(err, scm.ErrTooManyFDs, unix.EINVAL)
			Expect(n).To(Equal(0))
			untouched(in)
			in[at] = scm.Message{Buffers: make([][]byte, scm.MaxBuffers+1), N: 7}
			_, err = scm.RecvBatch(f.b, in, 0)
			beLimit(err, scm.ErrTooManyBuffers, unix.EMSGSIZE)
			untouched(in)
		}
		in := slots(3)
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(3))
		f.arrived(in, out)
	})

	It("SendBatch and RecvBatch return ENOTSOCK for a file that is not a socket", func() {
		for sock, errno := range map[int]unix.Errno{-1: unix.EBADF, f.file(): unix.ENOTSOCK} {
			out, in := f.letters(2), slots(2)
			Expect(scm.SendBatch(sock, out, 0)).Error().To(failed("sendmmsg", errno))
			untouchedLengths(out)
			Expect(scm.RecvBatch(sock, in, 0)).Error().To(failed("recvmmsg", errno))
			untouched(in)
		}
	})

	It("RecvBatch with MSG_TRUNC reports the length of each message", func() {
		out := f.letters(3)
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(3))
		in := slots(3)
		for i := range in {
			in[i].Buffers = cut(make([]byte, 4), 1, 3)
		}
		Expect(scm.RecvBatch(f.b, in, unix.MSG_TRUNC)).To(Equal(3))
		for i, flags := range []int{0, 0, unix.MSG_TRUNC} {
			Expect([]int{in[i].N, in[i].Flags}).To(Equal([]int{i + 3, flags}), "slot %d", i)
			Expect(slices.Concat(in[i].Buffers...)[:min(i+3, 4)]).To(HaveEach(byte(i)))
			f.receivedSame(in[i].FDs[:in[i].NFD], out[i].FDs...)
		}
	})

	It("SendBatch passes the caller's flags to the kernel", func() {
		// Neither type of socket supports out-of-band data.
		empty := []scm.Message{{Buffers: [][]byte{{}}}}
		Expect(scm.SendBatch(f.a, empty, unix.MSG_OOB)).Error().To(failed("sendmmsg", unix.EOPNOTSUPP))
		Expect(scm.SendBatch(f.a, empty, 0)).To(Equal(1))
	})

	It("SendBatch and RecvBatch pass empty messages with descriptors", func() {
		CannotEmulate(fdtest.NoBuffers)
		out := []scm.Message{{FDs: f.files(1)}, {}, {FDs: f.files(2)}}
		in := slots(3)
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(3))
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(3))
		f.arrived(in, out)
	})

	It("RecvBatch returns credentials and a pidfd for each message", func() {
		f.passesPidfd()
		f.option(unix.SO_PASSCRED, 1)
		out, in := f.letters(4), slots(4)
		creds, ids := make([]scm.Cred, 4), []int{-7, -7, -7, -7}
		for i := range out {
			if i%2 == 0 {
				cred := self()
				out[i].Cred = &cred
			}
			in[i].Cred, in[i].PIDFD = &creds[i], &ids[i]
		}
		in[3].PIDFD = nil // the pidfd is then closed, and MSG_CTRUNC set
		before := pidfds()
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(4))
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(4))
		Expect(creds).To(HaveEach(self()))
		for _, pidfd := range ids[:3] {
			Expect(pidOf(pidfd)).To(Equal(fmt.Sprint(os.Getpid())))
			Expect(fdtest.CloseOnExec(pidfd)).To(BeTrue())
			Expect(unix.Close(pidfd)).To(Succeed())
		}
		Expect(pidfds()).To(Equal(before), "open pidfds")
		Expect(in[3].Flags).To(Equal(unix.MSG_CTRUNC))
		in[3].Flags = 0
		f.arrived(in, out)

		// Nothing is received, and no result of the earlier batch remains.
		Expect(Second(scm.RecvBatch(f.b, in[:2], 0))).To(MatchError(unix.EAGAIN))
		Expect(creds[:2]).To(HaveEach(noCred))
		Expect(ids[:2]).To(HaveEach(-1))
	})

	It("SendBatch and RecvBatch do not allocate after the first call", func() {
		if hasRaceDetector() {
			Skip("with the race detector a sync.Pool forgets at random")
		}
		out, in := f.letters(maxBatch), slots(maxBatch)
		Expect(allocations(func() bool {
			n, err := scm.SendBatch(f.a, out, 0)
			if n != maxBatch || err != nil {
				return false
			}
			n, err = scm.RecvBatch(f.b, in, 0)
			if n != maxBatch || err != nil {
				return false
			}
			ok := true
			for i := range in {
				ok = closeAll(in[i].FDs[:in[i].NFD]) && ok
			}
			return ok
		})).To(BeZero())
	})
}, everyPacket)

func untouchedLengths(ms []scm.Message) {
	GinkgoHelper()
	for i := range ms {
		Expect(ms[i].N).To(Equal(0), "N of message %d, after an error", i)
	}
}

// These specs use a blocking socket. Its timeout ends a call that hangs.
var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() {
		f = connect(typ)
		Expect(unix.SetNonblock(f.b, false)).To(Succeed())
		Expect(unix.SetsockoptTimeval(f.b, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60})).To(Succeed())
	})

	It("RecvBatch that does not wait returns the queued messages, or EAGAIN if there are none", func() {
		for _, flags := range []int{0, unix.MSG_DONTWAIT} {
			Expect(unix.SetNonblock(f.b, flags == 0)).To(Succeed())
			out, in := f.letters(3), slots(5)
			Expect(scm.SendBatch(f.a, out, flags)).To(Equal(3))
			Expect(scm.RecvBatch(f.b, in, flags)).To(Equal(3))
			f.arrived(in[:3], out)
			untouched(in[3:])
			in = slots(5)
			Expect(scm.RecvBatch(f.b, in, flags)).Error().To(failed("recvmmsg", unix.EAGAIN))
			untouched(in)
		}
	})

	It("RecvBatch with MSG_WAITFORONE waits only for the first message", func() {
		for _, n := range []int{1, 2, 4} {
			first, one := f.letters(1), slots(1)
			wait := start(func() { Expect(scm.SendBatch(f.a, first, 0)).To(Equal(1)) })
			Expect(scm.RecvBatch(f.b, one, unix.MSG_WAITFORONE)).To(Equal(1))
			wait()
			f.arrived(one, first)

			out := f.letters(n)
			Expect(scm.SendBatch(f.a, out, 0)).To(Equal(n))
			in := slots(5)
			Expect(scm.RecvBatch(f.b, in, unix.MSG_WAITFORONE)).To(Equal(n))
			f.arrived(in[:n], out)
			untouched(in[n:])
		}
	})

	It("RecvBatch without a flag waits for all messages", func() {
		out, in := f.letters(3), slots(3)
		wait := start(func() {
			for i := range out {
				Expect(scm.SendBatch(f.a, out[i:i+1], 0)).To(Equal(1))
			}
		})
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(3))
		wait()
		f.arrived(in, out)
	})
}, everyPacket)

var _ = Describe("on datagram sockets,", func() {
	It("SendBatch sends to several sockets, and RecvBatch receives from several", func() {
		f := connect(unix.SOCK_DGRAM)
		unique := AbstractName()
		name := func(i int) string { return fmt.Sprintf("%s-%d", unique, i) }
		hub := f.bound(name(0))
		var socks []int
		out := f.letters(4)
		for i := range out {
			socks = append(socks, f.bound(name(i+1)))
			out[i].Addr = &net.UnixAddr{Name: name(i + 1)}
		}
		Expect(scm.SendBatch(hub, out, 0)).To(Equal(4))
		for i, sock := range socks {
			in := slots(2)
			in[0].Addr = &net.UnixAddr{}
			Expect(scm.RecvBatch(sock, in, 0)).To(Equal(1))
			f.arrived(in[:1], out[i:i+1])
			Expect(in[0].Addr.Name).To(Equal(name(0)))
			Expect(scm.Send(sock, to(name(0), out[i].FDs...), 0)).To(Succeed())
		}
		in := slots(5)
		for i := range in {
			in[i].Addr = &net.UnixAddr{Name: "stale"}
		}
		Expect(scm.RecvBatch(hub, in, 0)).To(Equal(4))
		for i := range out {
			Expect(in[i].Addr.Name).To(Equal(name(i + 1)))
			f.receivedSame(in[i].FDs[:in[i].NFD], out[i].FDs...)
		}
		Expect(in[4].Addr.Name).To(BeEmpty())
	})

	It("RecvBatch does not return an address from an earlier batch", func() {
		chdir(GinkgoT().TempDir())
		f := connect(unix.SOCK_DGRAM)
		long, short := f.bound(strings.Repeat("l", 100)), f.bound("s")
		sock, sent := f.datagram(), f.file()
		for range 3 {
			Expect(scm.SendBatch(sock, []scm.Message{*to(strings.Repeat("l", 100), sent)}, 0)).To(Equal(1))
			Expect(f.from(long, sent)).To(BeEmpty())
			Expect(scm.SendBatch(sock, []scm.Message{*to("s", sent)}, 0)).To(Equal(1))
			Expect(f.from(short, sent)).To(BeEmpty())
		}
	})

	It("SendBatch stops at a message to an address that has no socket", func() {
		f := connect(unix.SOCK_DGRAM)
		name := AbstractName()
		sock := f.bound(name)
		out := f.letters(3)
		for i := range out {
			out[i].Addr = &net.UnixAddr{Name: name}
		}
		out[1].Addr.Name += "-unbound"
		Expect(scm.SendBatch(f.datagram(), out, 0)).To(Equal(1))
		Expect(scm.SendBatch(f.datagram(), out[1:], 0)).Error().To(failed("sendmmsg", unix.ECONNREFUSED))
		in := slots(3)
		Expect(scm.RecvBatch(sock, in, 0)).To(Equal(1))
		f.arrived(in[:1], out[:1])
	})
})

var _ = Describe("on stream sockets,", func() {
	It("RecvBatch ends a message before the bytes that carry the next descriptors", func() {
		f := connect(unix.SOCK_STREAM)
		out := f.letters(3) // with 0, 1 and 2 descriptors
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(3))
		sentLengths(out)
		in := slots(3)
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(2))
		Expect([]int{in[0].N, in[0].NFD, in[1].N, in[1].NFD}).To(Equal([]int{7, 1, 5, 2}))
		f.receivedSame(in[0].FDs[:1], out[1].FDs...)
		f.receivedSame(in[1].FDs[:2], out[2].FDs...)
		untouched(in[2:])
	})

	It("SendBatch stops after a message that was sent in part, and loses none of it", func() {
		f := connect(unix.SOCK_STREAM)
		Expect(unix.SetsockoptInt(f.a, unix.SOL_SOCKET, unix.SO_SNDBUF, 1)).To(Succeed())
		var want, got []byte
		var sent []int
		out := make([]scm.Message, 4)
		for i := range out {
			text := paged(100_000 + i)
			want = append(want, text...)
			out[i] = scm.Message{Buffers: cut(text, 1, 0, 40_000, 59_999+i), FDs: f.files(1), N: 7}
			sent = append(sent, out[i].FDs...)
		}

		// The caller continues as documented.
		parts := 0
		var came []int
		p, room := make([]byte, 1<<16), make([]int, 4)
		for rest := out; len(rest) > 0; {
			n, err := scm.SendBatch(f.a, rest, 0)
			switch {
			case err != nil:
				failsWith(err, "sendmmsg", unix.EAGAIN)
				Expect(n).To(BeZero())
				in := scm.Message{Buffers: [][]byte{p}, FDs: room}
				Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
				came, got = append(came, in.FDs[:in.NFD]...), append(got, p[:in.N]...)
				continue
			default:
				sentLengths(rest[:n-1])
				untouchedLengths(rest[n:])
				last := &rest[n-1]
				text := slices.Concat(last.Buffers...)
				if last.N == len(text) {
					rest = rest[n:]
					continue
				}
				parts++
				Expect(last.N).To(BeNumerically(">", 0))
				*last = scm.Message{Buffers: [][]byte{text[last.N:]}}
				rest = rest[n-1:]
			}
		}
		for in := (scm.Message{Buffers: [][]byte{p}, FDs: room}); scm.Recv(f.b, &in, 0) == nil; {
			came, got = append(came, in.FDs[:in.NFD]...), append(got, p[:in.N]...)
		}
		Expect(parts).To(BeNumerically(">=", len(out)), "messages that went in part")
		Expect(bytes.Equal(got, want)).To(BeTrue(), "received %d bytes of %d", len(got), len(want))
		f.receivedSame(came, sent...)
	})

	// Linux accepts at most INT_MAX bytes of a message, rounded down to pages, and sendmmsg treats them as the whole
	// message. The message is the same memory 1024 times.
	It("SendBatch stops at a message that is longer than the kernel accepts", func() {
		f := connect(unix.SOCK_STREAM)
		for _, sock := range []int{f.a, f.b} {
			Expect(unix.SetNonblock(sock, false)).To(Succeed())
		}
		read := 0
		wait := start(func() {
			p := make([]byte, 1<<20)
			for {
				n, err := unix.Read(f.b, p)
				if err == unix.EINTR {
					continue
				}
				if n <= 0 {
					return
				}
				read += n
			}
		})
		text := make([]byte, 1<<21)
		long := make([][]byte, scm.MaxBuffers)
		for i := range long {
			long[i] = text
		}
		whole := uint64(len(text)) * scm.MaxBuffers
		out := []scm.Message{{Buffers: [][]byte{{1}}}, {Buffers: long}, {Buffers: [][]byte{{2}}}, {Buffers: [][]byte{{3}}}}
		n, err := scm.SendBatch(f.a, out, 0)
		sent := out[1].N
		f.CloseNow(f.a)
		wait()
		Expect(n, err).To(Equal(2))
		Expect(out[0].N).To(Equal(1))
		Expect(sent).To(BeNumerically(">", 0))
		Expect(uint64(sent)).To(BeNumerically("<", whole))
		Expect(read).To(Equal(1 + sent))
		untouchedLengths(out[2:])
	})
})

var _ = It("RecvBatch at the end of the connection returns empty messages after the last one", func() {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		f := connect(typ)
		out, in := f.letters(2)[1:], slots(4)
		Expect(scm.SendBatch(f.a, out, 0)).To(Equal(1))
		f.CloseNow(f.a)
		Expect(scm.RecvBatch(f.b, in, 0)).To(Equal(4))
		f.arrived(in[:1], out)
		untouched(in[1:])
	}
})

var _ = It("SendBatch and RecvBatch pass more buffers in a batch than one message can have, including empty ones", Label("memory"), func() {
	f := connect(unix.SOCK_SEQPACKET)
	const messages, buffers = 3, 1000
	fill := func(content func(i, j int) byte) []scm.Message {
		ms := make([]scm.Message, messages)
		for i := range ms {
			for j := range buffers {
				ms[i].Buffers = append(ms[i].Buffers, bytes.Repeat([]byte{content(i, j)}, j%4))
			}
		}
		return ms
	}
	content := func(i, j int) byte { return byte(7*i + j) }
	out, in := fill(content), fill(func(int, int) byte { return 0 })
	n, err := scm.SendBatch(f.a, out, 0)
	Expect(n, err).To(Equal(messages))
	n, err = scm.RecvBatch(f.b, in, 0)
	Expect(n, err).To(Equal(messages))
	for i := range in {
		Expect(in[i].Buffers).To(Equal(fill(content)[i].Buffers))
		Expect(in[i].N).To(Equal(buffers / 4 * (0 + 1 + 2 + 3)))
	}
})
