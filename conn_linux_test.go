package scm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// receiving maps names to the calls that receive from a Conn.
var receiving = map[string]func(c *scm.Conn) error{
	"ReadFiles":    func(c *scm.Conn) error { return Third(c.ReadFiles(make([]byte, 1), 1)) },
	"Recv":         func(c *scm.Conn) error { return receiveMessage(c.Recv) },
	"RecvFile":     func(c *scm.Conn) error { return Second(c.RecvFile()) },
	"RecvConn":     func(c *scm.Conn) error { return Second(c.RecvConn()) },
	"RecvListener": func(c *scm.Conn) error { return Second(c.RecvListener()) },
	"ReadFDs":      func(c *scm.Conn) error { return Third(c.ReadFDs(make([]byte, 1), make([]int, 1))) },
}

// receiveMessage checks that a failed receive clears the results in the message.
func receiveMessage(receive func(m *scm.Message, flags int) error) error {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), N: 7, NFD: 7, Flags: 7}
	err := receive(&m, 0)
	if err != nil {
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
	}
	return err
}

// sending maps names to the calls that send on a Conn. Each sends f.
var sending = map[string]func(c *scm.Conn, f *os.File) error{
	"WriteFiles":   func(c *scm.Conn, f *os.File) error { return Second(c.WriteFiles([]byte("x"), f)) },
	"SendFile":     func(c *scm.Conn, f *os.File) error { return c.SendFile("x", f) },
	"SendConn":     func(c *scm.Conn, f *os.File) error { return c.SendConn(fdtest.AsSocket(f)) },
	"SendListener": func(c *scm.Conn, f *os.File) error { return c.SendListener(fdtest.AsSocket(f)) },
	"Send": func(c *scm.Conn, f *os.File) error {
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: []int{FDOf(f)}, N: 7}
		err := c.Send(&m, 0)
		if err != nil {
			Expect(m.N).To(BeZero())
		}
		return err
	},
}

var _ = DescribeTableSubtree("on", func(network string) {
	past := time.Unix(1, 0)

	DescribeTable("calls that wait on a Conn end when a deadline is set or the Conn is closed", func(nonblocking bool) {
		for want, end := range map[error]func(c *scm.Conn) error{
			os.ErrDeadlineExceeded: func(c *scm.Conn) error { return c.SetDeadline(past) },
			net.ErrClosed:          (*scm.Conn).Close,
		} {
			_, b := pair(network)
			fill(b)
			Expect(scm.SetNonblock(b, nonblocking)).To(Succeed())
			f := pipes(1)[0]
			var waits []func()
			for name, receive := range receiving {
				waits = append(waits, start(func() { Expect(receive(b)).To(opFails("read", want), name) }))
			}
			for name, send := range sending {
				step(name)
				waits = append(waits, start(func() { Expect(send(b, f)).To(opFails("write", want), name) }))
			}
			waitsIn("RawRead", 1) // the other calls wait for these two
			waitsIn("RawWrite", 1)
			Expect(end(b)).To(Succeed())
			for _, wait := range waits {
				wait()
			}
		}
	},
		Entry("while its socket is non-blocking", true),
		Entry("after a child process made its socket blocking", false),
	)

	It("calls on a Conn whose deadline has passed neither send nor receive anything", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(a.SetWriteDeadline(past)).To(Succeed())
		Expect(b.SetReadDeadline(past)).To(Succeed())
		for name, send := range sending {
			err := send(a, f)
			Expect(err).To(opFails("write", os.ErrDeadlineExceeded), name)
			Expect(errorOf[net.Error](err).Timeout()).To(BeTrue())
		}
		for name, receive := range receiving {
			Expect(receive(b)).To(opFails("read", os.ErrDeadlineExceeded), name)
		}
		Expect(b.SetReadDeadline(time.Now().Add(Hang))).To(Succeed())
		receives(b, "x")
		hasNothing(b)
	})

	if network != "unixgram" { // where a receiver is not notified of the end
		It("receives return io.EOF at the end of the connection, even if they were already waiting", func() {
			for name, receive := range receiving {
				a, b := pair(network)
				end := BeIdenticalTo(io.EOF)
				if name == "Recv" {
					end = BeNil()
				}
				wait := start(func() { Expect(receive(b)).To(end, name) })
				waitsIn(name, 1)
				Expect(a.CloseWrite()).To(Succeed())
				wait()
				Expect(receive(b)).To(end, name)
				Expect(b.Write([]byte("x"))).To(Equal(1), "the other half is open")
			}
		})
	}

	It("sends fail if the other end is closed, and leave no descriptor open", func() {
		for name, send := range sending {
			a, b := pair(network)
			r, w := pipe()
			Expect(b.Close()).To(Succeed())
			if network == "unixgram" {
				Expect(send(a, w)).To(opFails("write", unix.ECONNREFUSED), name)
			} else {
				Expect(send(a, w)).To(opFails("write", unix.EPIPE), name)
			}
			Expect(w.Close()).To(Succeed())
			noWriterIsLeft(r)
		}
	})

	It("Read drops descriptors without installing them", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w, w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		before := fdtest.Take()
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
		Expect(before.NewSince()).To(BeEmpty())
		noWriterIsLeft(r)
	})

	It("ReadFiles still waits after an interrupted recvmmsg has left error 512 (ERESTARTSYS) on the socket", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(scm.SetNonblock(b, false)).To(Succeed())
		leavesRestartSys(FDOf(b))
		Expect(scm.SetNonblock(b, true)).To(Succeed())
		reads := start(func() { receives(b, "y", f) })
		waitsIn("ReadFiles", 1)
		Expect(a.WriteFiles([]byte("y"), f)).To(Equal(1))
		reads()
	})

	It("calls on a closed Conn return net.ErrClosed", func() {
		a, _ := pair(network)
		Expect(a.Close()).To(Succeed())
		r, _ := pipe()
		errs := map[string]error{
			"Close":       a.Close(),
			"SetDeadline": a.SetDeadline(past),
			"Read":        Second(a.Read(make([]byte, 1))),
			"Write":       Second(a.Write([]byte("x"))),
			"NewConn":     Second(scm.NewConn(a.UnixConn)),
		}
		for name, receive := range receiving {
			errs[name] = receive(a)
		}
		for name, send := range sending {
			errs[name] = send(a, r)
		}
		cred, err := a.PeerCred()
		pidfd, err2 := a.PeerPIDFD()
		Expect(err).To(opFails("get", net.ErrClosed))
		Expect(err2).To(opFails("get", net.ErrClosed))
		Expect(cred).To(Equal(noCred))
		Expect(pidfd).To(Equal(-1))
		for _, set := range []func(bool) error{a.PassCred, a.PassPIDFD, a.PassRights} {
			Expect(set(true)).To(opFails("set", net.ErrClosed))
		}
		for call, err := range errs {
			Expect(err).To(MatchError(net.ErrClosed), call)
			Expect(errorOf[*net.OpError](err).Net).To(HavePrefix("unix"), call)
		}
		a.SetUnlinkOnClose(true)
		Expect(a.LocalAddr().Network()).To(Equal(network))
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

	It("WriteFiles never sends a file that reuses the descriptor of one that is being closed", func() {
		CannotEmulate(fdtest.OwnFiles)
		a, b := pair(network)
		other, _ := pipe()
		for round := range 300 {
			step("round ", round)
			r, w := both(os.Pipe())
			number, want := FDOf(w), fdtest.Name(FDOf(w))
			ready := make(chan struct{})
			wait := start(func() {
				<-ready
				Expect(w.Close()).To(Succeed())
				Expect(unix.Dup3(FDOf(other), number, unix.O_CLOEXEC)).To(Succeed())
			})
			close(ready)
			n, err := a.WriteFiles([]byte("x"), r, w)
			wait()
			Expect(unix.Close(number)).To(Succeed())
			Expect(r.Close()).To(Succeed())
			if err != nil {
				Expect(n).To(BeZero())
				Expect(err).To(MatchError(os.ErrClosed))
				continue
			}
			_, files := both(b.ReadFiles(make([]byte, 1), 2))
			Expect(files).To(HaveLen(2))
			for _, f := range files {
				Expect(fdtest.Name(FDOf(f))).To(Equal(want), "the two ends have one name")
				Expect(f.Close()).To(Succeed())
			}
		}
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
					Expect(err).To(MatchError(fmt.Sprintf("scm: message lost descriptors or other control data (%d received, %d requested): if SO_PASSCRED is set on the socket, turn it off with PassCred(false)", truncated.Received, max)))
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
				"lost descriptors or other control data (0 received, 1 requested): if SO_PASSCRED is set on the socket, turn it off with PassCred(false)"))
			Expect(errors.Unwrap(err)).To(MatchError("short buffer"))
		})
	}

	It("ReadFiles with KeepTruncated returns the files before the first lost one if the descriptor table is full", func() {
		RunChild(ChildCommand("conn-nofile", network))
	})

	It("Config.NoFiles rejects files that were sent before, and Conn.PassRights admits them", func() {
		calls := maps.Clone(receiving)
		calls["Recv"] = func(c *scm.Conn) error { // its payload arrives
			return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}, 0)
		}
		for name, receive := range calls {
			step(name)
			a, b := pair(network)
			strict, err := scm.Config{NoFiles: true, Expect: &scm.Expect{Max: 1}}.NewConn(b.UnixConn)
			supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
			send := func() *os.File {
				r, w := pipe()
				Expect(strict.PassRights(true)).To(Succeed())
				Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
				Expect(w.Close()).To(Succeed())
				return r
			}
			r := send()
			strict = ok(scm.Config{NoFiles: true, Expect: &scm.Expect{Max: 1}}.NewConn(b.UnixConn))
			err = receive(strict)
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted no descriptor, got 1 descriptor"), name)
			noWriterIsLeft(r)
			Expect(a.Write([]byte("y"))).To(Equal(1), "bytes still arrive")
			receives(strict, "y")
			send()
			n, files, err := strict.ReadFiles(make([]byte, 1), 1)
			closeAllLater(files)
			Expect(n, err).To(Equal(1))
			Expect(files).To(HaveLen(1))
		}
	})

	It("a Conn that NewConn creates from one with NoFiles returns files that were sent before, and its PassRights leaves the other as it is", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		for range 2 {
			Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		}
		strict, err := scm.Config{NoFiles: true}.NewConn(b)
		supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
		other := ok(scm.NewConn(strict))
		receives(other, "x", f)
		Expect(other.PassRights(true)).To(Succeed())
		Expect(Third(strict.ReadFiles(make([]byte, 1), 1))).To(BeAssignableToTypeOf(&scm.ExpectError{}))
	})

	It("Config.NoFiles makes the kernel reject files sent to a Conn, also if it was dialed", func() {
		a, b := pair(network)
		strict, err := scm.Config{NoFiles: true}.NewConn(b.UnixConn)
		supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
		f := pipes(1)[0]
		Expect(a.WriteFiles([]byte("x"), f)).Error().To(opFails("write", unix.EPERM))
		Expect(strict.WriteFiles([]byte("x"), f)).To(Equal(1), "the other direction is not affected")
		receives(a, "x", f)
		Expect(strict.PassRights(true)).To(Succeed())
		Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		receives(strict, "x", f)

		if network != "unixgram" { // where the other socket could not reply
			addr := AbstractName()
			accept := bound(scm.Config{}, network, addr)
			withDeadline(ok(scm.Config{NoFiles: true}.Dial(context.Background(), network, addr)))
			Expect(accept().WriteFiles([]byte("x"), f)).Error().To(opFails("write", unix.EPERM))
		}
	})

	It("WriteFiles does not send files that are closed while it waits", func() {
		a, b := pair(network)
		fill(a)
		r, w := pipe()
		wait := start(func() {
			n, err := a.WriteFiles([]byte("last"), r, w)
			Expect(n).To(BeZero())
			Expect(err).To(opFails("write", os.ErrClosed))
			Expect(err).NotTo(MatchError(net.ErrClosed), "the Conn is open")
		})
		waitsIn("WriteFiles", 1)
		Expect(w.Close()).To(Succeed(), "nothing is held while the call waits")
		noWriterIsLeft(r)
		drain(b)
		wait()
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

	It("Conn.Send and Recv pass buffers, descriptors, credentials and flags", func() {
		a, b := pair(network)
		Expect(b.PassCred(true)).To(Succeed())
		f := pipes(1)[0]
		out := scm.Message{Buffers: [][]byte{[]byte("he"), []byte("llo")}, FDs: []int{FDOf(f)}}
		Expect(a.Send(&out, 0)).To(Succeed())
		Expect(out.N).To(Equal(5))
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			step("MSG_PEEK: ", flags != 0)
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

var _ = It("methods of a nil Conn and of a Conn created as a struct literal return os.ErrInvalid", func() {
	f := pipes(1)[0]
	_, far := pair("unix")
	for _, c := range []*scm.Conn{nil, {}, {UnixConn: far.UnixConn}} {
		invalid := MatchError(os.ErrInvalid)
		if c != nil {
			invalid = And(invalid, MatchError(ContainSubstring("use scm.NewConn")))
		}
		for name, receive := range receiving {
			Expect(receive(c)).To(invalid, name)
		}
		for name, send := range sending {
			Expect(send(c, f)).To(invalid, name)
		}
		Expect(c.Close()).To(invalid)
		c.SetUnlinkOnClose(false) // returns no error
		Expect(Second(c.PeerCred())).To(invalid)
		Expect(Second(c.PeerPIDFD())).To(invalid)
		for _, set := range []func(bool) error{c.PassCred, c.PassPIDFD, c.PassRights} {
			Expect(set(true)).To(invalid)
		}
	}
})

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

// F_SETFL would write all flags back, and undo a change that the sender made.
var _ = It("SetNonblock does not undo another change of the status flags", func() {
	a, _ := pair("unix")
	var stop atomic.Bool
	changes := start(func() {
		for on := true; !stop.Load(); on = !on {
			Expect(scm.SetNonblock(a, on)).To(Succeed())
		}
	})
	defer changes()
	defer stop.Store(true)
	theirs := FDOf(asFile(FDOf(a)))
	for i := range 50_000 {
		want := i % 2 * unix.O_ASYNC
		fcntl(theirs, unix.F_SETFL, want)
		Expect(fcntl(theirs, unix.F_GETFL, 0) & unix.O_ASYNC).To(Equal(want))
	}
})

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
			withFree(c.free, func() { n, files, err = b.ReadFiles(make([]byte, 8), 8) })
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
			withFree(1, func() { err = receiving[call](b) })
			Expect(err).To(opFails("read", unix.EMFILE), call)
		}
		Expect(a.SendFile("x", kinds['r'])).To(Succeed())
		var f *os.File
		withFree(1, func() { f, err = b.RecvFile() })
		Expect(f.Close(), err).To(Succeed())
		Expect(before.NewSince()).To(BeEmpty())
	}
	Expect(w.Close()).To(Succeed())
	noWriterIsLeft(r)
})

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
			step("deadline ", deadline)
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
