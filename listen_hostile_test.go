//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// Attacks on a Listener: by a client, by whoever was given its socket, and by a full
// table of descriptors.

// strangers sends TCP sockets, the last of its kind, to clients of a Listener: whoever
// closes one of these waits for ten minutes, or until the spec ends.
type strangers struct{ tcp net.Listener }

func newStrangers() strangers {
	GinkgoHelper()
	small := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
		})
	}}
	tcp, err := small.Listen(context.Background(), "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(tcp.Close)
	return strangers{tcp}
}

// knocks connects to l. Its connection has a TCP socket in the queue that lingers.
func (s strangers) knocks(l *scm.Listener) *scm.Conn {
	GinkgoHelper()
	sock, err := net.Dial("tcp", s.tcp.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	far, err := s.tcp.Accept()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(far.Close) // ends what lingers
	Expect(sock.(*net.TCPConn).SetLinger(600)).To(Succeed())
	Expect(sock.(*net.TCPConn).SetWriteBuffer(4096)).To(Succeed())
	number := NumberOf(sock.(syscall.Conn))
	for full := false; !full; {
		_, err := unix.SendmsgN(number, make([]byte, 1<<16), nil, nil, unix.MSG_DONTWAIT)
		full = errors.Is(err, unix.EAGAIN)
		Expect(err == nil || full).To(BeTrue(), "%v", err)
	}
	client := dial(l.Addr().Network(), l.Addr().String())
	Expect(client.SendConn(context.Background(), sock.(syscall.Conn))).To(Succeed())
	Expect(sock.Close()).To(Succeed())
	return client
}

var _ = DescribeTableSubtree("a Listener", Label("attack"), func(network string) {
	It("is held up by no client that its check refuses", func() {
		CannotEmulate(fdtest.Traced)
		strange := newStrangers()
		refused := 0
		l := listen(scm.Config{Check: func(*scm.Conn) error {
			if refused++; refused <= 3 {
				return errors.New("a stranger")
			}
			return nil
		}}, network, "@"+UniqueName())
		for range 3 {
			strange.knocks(l)
		}
		client := dial(network, l.Addr().String())
		accepts := goes(func() {
			server, err := l.AcceptConn()
			Expect(err).NotTo(HaveOccurred())
			closing(server)
			Expect(client.Write([]byte("x"))).To(Equal(1))
			receives(server, "x")
		})
		accepts()
	})

	It("closes what its check does not let in, also if that panics or ends the goroutine", func() {
		for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
			l := listen(scm.Config{Check: func(*scm.Conn) error { end(); return nil }}, network, "@"+UniqueName())
			client := dial(network, l.Addr().String())
			Expect(client.CloseWrite()).To(Succeed())
			accepts := goes(func() {
				defer func() { _ = recover() }()
				_, _ = l.AcceptConn()
				Fail("AcceptConn returned after Check " + how)
			})
			accepts()
			Expect(client.Read(make([]byte, 1))).Error().To(MatchError(io.EOF), how)
		}
	})

	for name, give := range map[string]func(c *scm.Conn, l *scm.Listener) error{
		"SendFile": func(c *scm.Conn, l *scm.Listener) error { return c.SendFile("listener", l) },
		"Send": func(c *scm.Conn, l *scm.Listener) error {
			return c.Send(&scm.Message{Buffers: [][]byte{{0}}, FDs: []int{NumberOf(l)}}, 0)
		},
		"SendConn of a NewConn": func(c *scm.Conn, l *scm.Listener) error {
			twin, err := scm.NewConn(l)
			if err == nil {
				err = c.SendConn(context.Background(), twin)
				_ = twin.Close()
			}
			return err
		},
	} {
		It("whose socket another process makes block goes on, after "+name, func() {
			l := listen(scm.Config{}, network, "@"+UniqueName())
			a, b := pair(network)
			Expect(give(a, l)).To(Succeed())
			_, files, err := b.ReadFiles(make([]byte, 16), 1)
			Expect(err).NotTo(HaveOccurred())
			Expect(scm.SetNonblock(lentAll(files)[0], false)).To(Succeed())
			accepts := goes(func() { Expect(Second(l.Accept())).To(opFails("accept", net.ErrClosed)) })
			waitsIn("AcceptConn", 1)
			Expect(l.Close()).To(Succeed())
			accepts()
		})
	}

	for _, waits := range []bool{true, false} {
		It("that another process shuts down ends Accept, also one that waits: "+strconv.FormatBool(waits), func() {
			l := listen(scm.Config{}, network, "@"+UniqueName())
			a, b := pair(network)
			Expect(a.SendListener(context.Background(), l)).To(Succeed())
			_, files, err := b.ReadFiles(make([]byte, 16), 1)
			Expect(err).NotTo(HaveOccurred())
			shut := func() { Expect(unix.Shutdown(NumberOf(lentAll(files)[0]), unix.SHUT_RDWR)).To(Succeed()) }
			if !waits {
				shut()
			}
			accepts := goes(func() { Expect(Second(l.Accept())).To(opFails("accept", unix.EINVAL)) })
			if waits {
				waitsIn("AcceptConn", 1)
				shut()
			}
			accepts()
		})
	}

	It("that is received refuses descriptors from then on, if the Conn does", func() {
		l := listen(scm.Config{}, network, "@"+UniqueName())
		a, b := pair("unix")
		b, err := scm.Config{NoFiles: true}.NewConn(b)
		if errors.Is(err, scm.ErrUnsupported) {
			Skip("SO_PASSRIGHTS is from Linux 6.16: " + err.Error())
		}
		Expect(err).NotTo(HaveOccurred())
		closing(b)
		Expect(scm.PassRights(NumberOf(b), true)).To(Succeed())
		Expect(a.SendListener(context.Background(), l)).To(Succeed())
		got, err := b.RecvListener(context.Background())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = got.Close() })
		client := dial(network, l.Addr().String()) // not accepted yet
		Expect(Second(client.WriteFiles([]byte("x"), pipes(1)...))).To(opFails("write", unix.EPERM))
	})
}, Entry("unix", "unix"), Entry("unixpacket", "unixpacket"))

// givenListener and givenConn have a descriptor that is used by way of during.
type givenListener struct {
	*scm.Listener
	during during
}

type givenConn struct {
	*scm.Conn
	during during
}

type during func(f func(fd uintptr)) error

func (g givenListener) SyscallConn() (syscall.RawConn, error) { return callersConn{g.during}, nil }
func (g givenConn) SyscallConn() (syscall.RawConn, error)     { return callersConn{g.during}, nil }

// hands sends what listens, or a datagram socket, over c.
func hands(c *scm.Conn, l closer, during during) error {
	if dgram, ok := l.(*scm.Conn); ok {
		return c.SendConn(context.Background(), givenConn{dgram, during})
	}
	return c.SendListener(context.Background(), givenListener{l.(*scm.Listener), during})
}

// handsUntilClosed hands l over a, which is full, until l is closed. It returns once the send has been
// tried; ended waits for its end.
func handsUntilClosed(a *scm.Conn, l closer, other *os.File) (ended func()) {
	tried := make(chan struct{}, 1)
	ended = goes(func() {
		Expect(hands(a, l, func(f func(fd uintptr)) error {
			f(uintptr(NumberOf(other)))
			select {
			case tried <- struct{}{}:
			default:
			}
			return nil
		})).To(And(opFails("write", os.ErrClosed), Not(MatchError(net.ErrClosed))), "the Conn is open")
	})
	<-tried
	return ended
}

var _ = DescribeTableSubtree("the socket file of what is handed over", Label("attack"), func(network string) {
	It("stays also if the sender closes as soon as the kernel has sent it", func() {
		a, b := pair("unix")
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		raw, err := l.SyscallConn()
		Expect(err).NotTo(HaveOccurred())
		closed := make(chan error, 1)
		Expect(hands(a, l, func(f func(fd uintptr)) error {
			err := raw.Control(f)
			go func() { closed <- l.Close() }()
			// Close need not return before the file's fate is known.
			select {
			case err := <-closed:
				closed <- err
			case <-time.After(100 * time.Millisecond):
			}
			return err
		})).To(Succeed())
		Expect(<-closed).To(Succeed())
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(lentAll(files)).To(HaveLen(1))
		Expect(path).To(BeAnExistingFile())
	})

	It("is removed by a Close while the send waits, and then nothing is sent", func() {
		a, b := pair("unix")
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		other := asFile(NumberOf(l))
		fill(a)
		sends := handsUntilClosed(a, l, other)
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
		drain(b)
		sends()
	})

	It("is removed after a send that failed", func() {
		a, b := pair("unix")
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		Expect(b.Close()).To(Succeed())
		Expect(hands(a, l, func(f func(fd uintptr)) error { f(uintptr(NumberOf(l))); return nil })).To(opFails("write", unix.EPIPE))
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("is removed where no number is free", func() {
		RunChild(ChildCommand("close-nofile", network, socketPath()))
	})

	It("that Close cannot remove is an error", func() {
		path := socketPath()
		CannotEmulate(fdtest.Traced)
		cmd := ChildCommand("close-nofile", network, path, "EMFILE")
		program, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		strace := FindStrace()
		cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-e", "trace=unshare", "-e", "inject=unshare:error=EPERM", program}, cmd.Args[1:]...)
		cmd.Path = strace
		RunChild(cmd)
		Expect(path).To(BeAnExistingFile())
	})
}, everyNetwork)

var _ = DescribeTableSubtree("Close of a socket with a file", func(network string) {
	It("has removed the file when the calls that waited end", func() {
		for range 50 {
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			method, waits := waiterOn(l)
			waiting := goes(func() {
				Expect(waits()).To(MatchError(net.ErrClosed))
				Expect(path).NotTo(BeAnExistingFile())
			})
			waitsIn(method, 1)
			Expect(l.Close()).To(Succeed())
			waiting()
		}
	})
}, everyNetwork)

// waiterOn returns a call that waits on a listener, or a datagram socket, and its method.
func waiterOn(l io.Closer) (method string, waits func() error) {
	if c, ok := l.(*scm.Conn); ok {
		return "Recv", func() error { return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, 0) }
	}
	return "AcceptConn", func() error { return Second(l.(*scm.Listener).AcceptConn()) }
}

var _ = DescribeTableSubtree("Close, where the folder's file system does not answer", Label("attack"), func(network string) {
	It("ends the calls that wait, and then waits itself", func() {
		server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
		link, path := socketPath(), socketPath()
		Expect(os.Symlink(filepath.Dir(path), link)).To(Succeed())
		l := mustListen(scm.Config{}, network, link+"/s")
		Expect(os.Remove(link)).To(Succeed())
		Expect(os.Symlink(filepath.Dir(server.File), link)).To(Succeed())
		server.Hush(fusetest.Getattr)

		method, waits := waiterOn(l)
		waiting := goes(func() { Expect(waits()).To(MatchError(net.ErrClosed)) })
		waitsIn(method, 1)
		closes := goes(func() { Expect(l.Close()).To(Succeed()) })
		<-server.Waiting
		waiting()
		Expect(l.Close()).To(MatchError(net.ErrClosed))
		dial(network, path) // the file is the socket's yet
		server.Release()
		closes()
		Expect(path).To(BeAnExistingFile(), "the path leads to another folder")
	})

	It("ends a hand-over of the socket, and then waits itself", func() {
		server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
		link, path := socketPath(), socketPath()
		Expect(os.Symlink(filepath.Dir(path), link)).To(Succeed())
		l := mustListen(scm.Config{}, network, link+"/s")
		DeferCleanup(server.Release) // or the Close of l waits if this fails
		other := asFile(NumberOf(l))
		Expect(os.Remove(link)).To(Succeed())
		Expect(os.Symlink(filepath.Dir(server.File), link)).To(Succeed())
		server.Hush(fusetest.Getattr)

		a, b := pair("unix")
		fill(a)
		sends := handsUntilClosed(a, l, other)
		closes := goes(func() { Expect(l.Close()).To(Succeed()) })
		<-server.Waiting
		drain(b)
		sends()
		server.Release()
		closes()
	})
}, everyNetwork)

var _ = Describe("an answer to a datagram client", Label("attack"), func() {
	It("waits for the file system of the client's name, beyond the deadline, and receiving goes on", func() {
		server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
		c, err := scm.ListenPacket(context.Background(), "unixgram", "@"+UniqueName())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(c.Close)
		DeferCleanup(server.Release) // or Close waits if this fails
		Expect(c.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())

		server.Hush(fusetest.Lookup)
		answers := goes(func() {
			answer := scm.Message{Buffers: [][]byte{{0}}, Addr: &net.UnixAddr{Name: server.File}}
			Expect(c.Send(&answer, unix.MSG_DONTWAIT)).To(opFails("write", unix.ECONNREFUSED), "it is no socket")
		})
		<-server.Waiting
		Expect(c.SetWriteDeadline(time.Unix(1, 0))).To(Succeed())
		client := dial("unixgram", c.LocalAddr().String())
		Expect(client.Write([]byte("x"))).To(Equal(1))
		receives(c, "x")
		server.Release()
		answers()
	})
})

var _ = Child("close-nofile", func(args []string) {
	l, err := listenAny(context.Background(), scm.Config{}, args[0], args[1])
	Expect(err).NotTo(HaveOccurred())
	want := Succeed()
	if len(args) > 2 {
		want = opFails("close", unix.EMFILE)
	}
	withFree(0, func() { Expect(l.Close()).To(want) })
	Expect(l.Close()).To(opFails("close", net.ErrClosed))
	if len(args) == 2 {
		Expect(args[1]).NotTo(BeAnExistingFile())
	}
})

var _ = Describe("a received TCP listener", Label("attack"), func() {
	It("loses no client where the table is full", func() {
		RunChild(ChildCommand("accept-tcp-nofile"))
	})
})

var _ = Child("accept-tcp-nofile", func([]string) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	a, b, err := scm.Pair("unix")
	Expect(err).NotTo(HaveOccurred())
	Expect(a.SendListener(context.Background(), tcp.(*net.TCPListener))).To(Succeed())
	l, err := b.RecvListener(context.Background())
	Expect(err).NotTo(HaveOccurred())
	Expect(l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(Hang))).To(Succeed())
	dials := func() net.Conn {
		client, err := net.Dial("tcp", tcp.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		Expect(client.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		return client
	}
	for range 2 {
		client := dials()
		for free := range 2 {
			withFree(free, func() { Expect(Second(l.Accept())).To(opFails("accept", unix.EMFILE)) })
		}
		server, err := l.Accept()
		Expect(err).NotTo(HaveOccurred())
		Expect(server).To(BeAssignableToTypeOf(&net.TCPConn{}))
		Expect(server.Write([]byte("x"))).To(Equal(1))
		Expect(client.Read(make([]byte, 1))).To(Equal(1))
		Expect(server.Close()).To(Succeed())
	}

	client := dials()
	withFree(1, func() { Expect(Second(l.Accept())).To(opFails("accept", unix.EMFILE)) })
	Expect(l.Close()).To(Succeed())
	Expect(client.Read(make([]byte, 1))).Error().To(MatchError(io.EOF), "nobody has it")
	Expect(Second(l.Accept())).To(opFails("accept", net.ErrClosed))
})
