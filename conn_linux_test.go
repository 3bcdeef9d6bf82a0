package scm_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

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

var _ = DescribeTableSubtree("on", func(network string) {
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
		_, files, err := b.ReadFiles(make([]byte, 1), 2)
		Expect(err).NotTo(HaveOccurred())
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
		for range 300 {
			r, w, err := os.Pipe()
			Expect(err).NotTo(HaveOccurred())
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
			_, files, err := b.ReadFiles(make([]byte, 1), 2)
			Expect(err).NotTo(HaveOccurred())
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

	It("ReadFiles reports lost files, but no cause, if credentials took their space", func() {
		a, b := pair(network)
		Expect(b.PassCred(true)).To(Succeed())
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		n, files, err := b.ReadFiles(make([]byte, 1), 1)
		isTruncated(n, files, err, 1, nil)
		Expect(err).To(MatchError("scm: message lost descriptors or other control data (0 received, 1 requested): if SO_PASSCRED is set on the socket, turn it off with PassCred(false)"))
		noWriterIsLeft(r)
	})

	It("Config.NoFiles rejects files that were sent before, and Conn.PassRights admits them", func() {
		calls := maps.Clone(receiving)
		calls["Recv"] = func(c *scm.Conn) error { // its payload arrives
			return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}, 0)
		}
		for name, receive := range calls {
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
			strict, err = scm.Config{NoFiles: true, Expect: &scm.Expect{Max: 1}}.NewConn(b.UnixConn)
			Expect(err).NotTo(HaveOccurred())
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

	It("Config.NoFiles makes the kernel reject files that are sent to the Conn", func() {
		a, b := pair(network)
		strict, err := scm.Config{NoFiles: true}.NewConn(b.UnixConn)
		supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
		f := pipes(1)[0]
		n, err := a.WriteFiles([]byte("x"), f)
		Expect(n).To(BeZero())
		Expect(err).To(opFails("write", unix.EPERM))
		Expect(strict.WriteFiles([]byte("x"), f)).To(Equal(1), "the other direction is not affected")
		receives(a, "x", f)
		Expect(strict.PassRights(true)).To(Succeed())
		Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		receives(strict, "x", f)
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
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	kinds := map[rune]*os.File{
		'p': w, 'r': ok(os.Open("/proc/self/exe")), 'e': ok(os.Open("/dev/random")),
	}
	for _, keep := range []bool{false, true} {
		a, b, err := scm.Config{KeepTruncated: keep}.Pair(args[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(b.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		before := fdtest.Take()
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
		for call, sent := range map[string]syscall.Conn{"RecvFile": kinds['e'], "RecvConn": a} { // both need one more descriptor
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
