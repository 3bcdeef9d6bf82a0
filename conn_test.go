//go:build linux

package scm_test

import (
	"io"
	"net"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
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

	waitsEnd := func(nonblocking bool) {
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
				waits = append(waits, start(func() { Expect(send(b, f)).To(opFails("write", want), name) }))
			}
			waitsIn("RawRead", 1) // the other calls wait for these two
			waitsIn("RawWrite", 1)
			Expect(end(b)).To(Succeed())
			for _, wait := range waits {
				wait()
			}
		}
	}

	It("calls that wait on a Conn end when a deadline is set or the Conn is closed", func() { waitsEnd(true) })

	It("calls that wait on a Conn end in the same way after a child process made its socket blocking", func() { waitsEnd(false) })

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

	It("ReadFiles still waits after an interrupted RecvBatch has left error 512 (ERESTARTSYS) on the socket", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(scm.SetNonblock(b, false)).To(Succeed())
		ms := []scm.Message{{Buffers: [][]byte{make([]byte, 1)}}, {Buffers: [][]byte{make([]byte, 1)}}}
		interrupted(func() { Expect(scm.RecvBatch(FDOf(b), ms, 0)).To(Equal(1)) })
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
		for call, err := range errs {
			Expect(err).To(MatchError(net.ErrClosed), call)
			Expect(errorOf[*net.OpError](err).Net).To(HavePrefix("unix"), call)
		}
		a.SetUnlinkOnClose(true)
		Expect(a.LocalAddr().Network()).To(Equal(network))
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
