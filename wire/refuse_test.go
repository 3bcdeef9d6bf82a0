//go:build unix && !aix

package wire_test

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

var _ = Describe("in the", func() {
	for _, c := range rejectedByRecv {
		It(quoted(c.format)+", Recv rejects "+c.received()+", and closes every descriptor", func() {
			if c.reason == tooMany {
				CannotEmulate(fdtest.NotCut)
			}
			cannotEmulateFormat(c.format)
			f := connect(c.format.Network())
			sends(f.a, c.payload, f.files(c.fds)...)
			Expect(failed(c.format, f.b)).To(beFormatError(c.format, c.reason))
			if c.format.Network() != "unix" {
				f.passes(c.format, f.a, f.b)
			}
		})
	}

	for _, c := range rejectedBySend {
		It(quoted(c.format)+", Send rejects "+c.sent()+", and sends nothing", func() {
			cannotEmulateFormat(c.format)
			f := connect(c.format.Network())
			Expect(c.format.Send(f.a, c.text, f.files(c.fds)...)).To(beFormatError(c.format, c.reason))
			isEmpty(f.b)
			f.passes(c.format, f.a, f.b)
		})
	}

	for _, c := range beginnings {
		end := Count(len(c.payload), "byte")
		It(quoted(c.format)+", Recv returns io.ErrUnexpectedEOF if the connection ends after "+end, func() {
			f := connect(c.format.Network())
			sends(f.a, c.payload, f.files(c.fds)...)
			f.CloseNow(int(f.a))
			Expect(failed(c.format, f.b)).To(MatchError(io.ErrUnexpectedEOF))
		})
	}

	for _, format := range wire.Formats() {
		for _, network := range []string{"unixgram", "unixpacket"} {
			It(quoted(format)+", Recv leaks no descriptor, whatever it receives from a "+network+" socket", func() {
				CannotEmulate(fdtest.NoBuffers)
				for _, payload := range []string{"", "\x00", "{", getfd, strings.Repeat("x", 5000)} {
					for _, n := range []int{0, 1, 2, scm.MaxFDs} {
						f := connect(network)
						Expect(unix.SetNonblock(int(f.b), true)).To(Succeed())
						sent := slices.Repeat(f.files(1), n)
						sends(f.a, payload, sent...)
						sends(f.a, payload, sent...)
						_, fds, err := format.Recv(f.b)
						if err != nil {
							Expect(fds).To(BeEmpty())
						}
						f.owns(fds...)
						Expect(f.Strays()).To(BeEmpty(), "%d bytes and %d descriptors: %v", len(payload), n, err)
						f.Close()
					}
				}
			})
		}
	}
})

var _ = It("Recv in a stream format rejects a message that a socket of another type truncates", func() {
	for _, format := range wire.Formats() {
		if format.Network() != "unix" {
			continue
		}
		f := connect("unixpacket")
		Expect(unix.SetNonblock(int(f.b), true)).To(Succeed())
		payload := "{" + strings.Repeat("x", 5000)
		sends(f.a, payload, f.file(""))
		Expect(failed(format, f.b)).To(beFormatError(format, "message truncated: the format needs a stream socket"))
	}
})

var _ = DescribeTable("Recv rejects a second descriptor that arrives with the rest of the payload, in the",
	func(format wire.Format, first, rest string) {
		f := connect("unix")
		sends(f.a, first, f.file(""))
		sends(f.a, rest, f.file(""))
		Expect(failed(format, f.b)).To(beFormatError(format, tooMany))
	},
	Entry(quoted(wire.Passfd), wire.Passfd, "\x00", "\x00\x00\x00"),
	Entry(quoted(wire.APUE), wire.APUE, "text", "\x00\x00"),
	Entry(quoted(wire.SkalibsUnixmessage), wire.SkalibsUnixmessage, "\x00\x00\x00\x04\x00\x01", "data"),
)

// ends checks that RecvFiles returns io.EOF and no file at the end of a connection.
func ends(format wire.Format, passCred bool) {
	GinkgoHelper()
	f := connect(format.Network())
	a, b := conns(format.Network())
	if passCred {
		err := errors.Join(scm.PassCred(int(f.b), true), b.PassCred(true))
		if errors.Is(err, errors.ErrUnsupported) {
			Skip("no SO_PASSCRED on " + runtime.GOOS)
		}
		Expect(err).NotTo(HaveOccurred())
	}
	f.CloseNow(int(f.a))
	Expect(a.Close()).To(Succeed())
	for _, sock := range []wire.Socket{f.b, b} {
		_, received, err := wire.RecvFiles(format, sock)
		Expect(err).To(BeIdenticalTo(io.EOF))
		Expect(received).To(BeEmpty())
	}
}

var _ = Describe("Recv in the "+quoted(wire.QMP), func() {
	It("returns io.EOF if white space alone follows the JSON object", func() {
		f := connect("unix")
		sent := f.file("")
		sends(f.a, getfd+"\r\n", sent)
		f.CloseNow(int(f.a))
		f.from(wire.QMP, f.b, sent)
		Expect(failed(wire.QMP, f.b)).To(BeIdenticalTo(io.EOF))
	})

	It("rejects a JSON object that is too long, and closes the descriptor received with it", func() {
		f := connect("unix")
		a := ok(scm.NewConnFD(ok(unix.Dup(int(f.a)))))
		DeferCleanup(a.Close)
		sent := f.file("")
		done := make(chan error, 1)
		go func() {
			_, err := a.WriteFDs([]byte(`{"`+strings.Repeat("x", 1<<20)), sent)
			done <- err
		}()
		// The time limit of f.b is for each of a million receives.
		Expect(failed(wire.QMP, f.b)).To(beFormatError(wire.QMP, "text is longer than 1048576 bytes"))
		Expect(<-done).NotTo(HaveOccurred())
	})
})

var _ = Describe("in the", func() {
	for _, format := range wire.Formats() {
		g := firstGolden(format)

		if format.Network() != "unixgram" {
			It(quoted(format)+", Recv returns io.EOF at the end", func() { ends(format, false) })
		}
		if format.Network() == "unix" {
			It(quoted(format)+", Recv returns io.EOF at the end although Linux sets MSG_CTRUNC with SO_PASSCRED", func() {
				ends(format, true)
			})
		}

		It(quoted(format)+", Send returns the error of the system call if the other end is closed", func() {
			cannotEmulateFormat(format)
			f := connect(format.Network())
			f.CloseNow(int(f.b))
			err := format.Send(f.a, g.text, f.files(g.fds)...)
			if format.Network() == "unixgram" {
				Expect(err).To(Or(MatchError(unix.ECONNREFUSED), MatchError(unix.ECONNRESET)))
			} else {
				Expect(err).To(MatchError(unix.EPIPE))
			}
			Expect(err).To(MatchError(HavePrefix("wire: " + format.Name() + ": sendmsg: ")))
		})

		It(quoted(format)+", Send returns EBADF if a descriptor is not open", func() {
			cannotEmulateFormat(format)
			f := connect(format.Network())
			fds := f.files(g.fds)
			fds[0] = -1
			Expect(format.Send(f.a, g.text, fds...)).To(MatchError(unix.EBADF))
			isEmpty(f.b)
			f.passes(format, f.a, f.b)
		})

		It(quoted(format)+", Recv returns EAGAIN if the socket is non-blocking and has no message", func() {
			cannotEmulateFormat(format)
			f := connect(format.Network())
			Expect(unix.SetNonblock(int(f.b), true)).To(Succeed())
			Expect(failed(format, f.b)).To(MatchError(unix.EAGAIN))
		})
	}
})

// firstGolden returns a golden message of the format with descriptors.
func firstGolden(format wire.Format) message {
	for _, g := range golden {
		if g.format == format && g.fds > 0 {
			return g
		}
	}
	panic("no golden message of " + format.Name())
}
