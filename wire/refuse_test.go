//go:build linux

package wire_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

// refused is what a format does not allow, and a part of what it says of it.
type refused struct {
	message
	reason string
}

const (
	tooMany = "control data was cut"
	none    = "0 descriptors came, not 1"
)

var refusedOnReceipt = []refused{
	{message{wire.APUE, "", 2, "\x00\x00"}, tooMany},
	{message{wire.APUE, "", 0, "\x00\x00"}, none},
	{message{wire.APUE, "", 1, "\x00\x00x"}, "1 bytes behind the status"},
	{message{wire.APUE, "", 1, strings.Repeat("x", 65537)}, "text of more than 65536 bytes"},
	{message{wire.Book, "", 2, "\x00"}, tooMany},
	{message{wire.Conmon, "", 2, "/dev/ptmx\x00"}, tooMany},
	{message{wire.Conmon, "", 0, "/dev/ptmx\x00"}, none},
	{message{wire.Crun, "", 2, " "}, tooMany},
	{message{wire.Crun, "", 0, " "}, none},
	{message{wire.GVisor, "", 2, ""}, tooMany},
	{message{wire.GVisor, "", 1, "x"}, "a payload came"},
	{message{wire.GVisor, "", 0, "x"}, "a payload came"},
	{message{wire.HAProxySockpair, "", 2, "\x00\x00"}, tooMany},
	{message{wire.HAProxySockpair, "", 0, "\x00\x00"}, none},
	{message{wire.Notify, "", 1, strings.Repeat("x", 4097)}, "a state of more than 4096 bytes"},
	{message{wire.Notify, "", 1, "READY=1\x00STATUS=x"}, "a 0 byte in the state"},
	{message{wire.OpenSSH, "", 2, "\x00"}, tooMany},
	{message{wire.OpenSSH, "", 0, "\x00"}, none},
	{message{wire.Passfd, "", 2, "\x00\x00\x00\x00"}, tooMany},
	{message{wire.Passfd, "", 0, "\x00\x00\x00\x00"}, none},
	{message{wire.Python, "", 2, "\x01"}, "2 descriptors came, and the number 1"},
	{message{wire.Python, "", 0, "\x00"}, "0 descriptors came"},
	{message{wire.Runc, "", 2, "name"}, tooMany},
	{message{wire.Runc, "", 0, "name"}, none},
	{message{wire.Runc, "", 1, strings.Repeat("n", 4096)}, "the name has 4096 bytes or more"},
	{message{wire.SkalibsAncil, "", 2, "|"}, tooMany},
	{message{wire.SkalibsAncil, "", 0, "|"}, none},
	{message{wire.SkalibsUnixmessage, "", 2, "\x00\x00\x00\x00\x00\x01"}, "2 descriptors came, and the number 1"},
	{message{wire.SkalibsUnixmessage, "", 1, "\x10\x00\x00\x01\x00\x01"}, "text of 268435457 bytes"},
}

var refusedOnSend = []refused{
	{message{wire.APUE, "text", 1, ""}, "no place for text"},
	{message{wire.APUE, "", 0, ""}, "0 descriptors to send, not 1"},
	{message{wire.Book, "", 2, ""}, "2 descriptors to send, not 1"},
	{message{wire.Book, strings.Repeat("x", 4097), 1, ""}, "text of 4097 bytes"},
	{message{wire.Conmon, "name", 0, ""}, "0 descriptors to send"},
	{message{wire.Conmon, strings.Repeat("n", 4096), 1, ""}, "a name of 4096 bytes"},
	{message{wire.Conmon, "na\x00me", 1, ""}, "a 0 byte in the name"},
	{message{wire.Crun, "text", 1, ""}, "no place for text"},
	{message{wire.Crun, "", 2, ""}, "2 descriptors to send"},
	{message{wire.GVisor, "text", 1, ""}, "no place for text"},
	{message{wire.GVisor, "", 0, ""}, "0 descriptors to send"},
	{message{wire.HAProxySockpair, "text", 1, ""}, "no place for text"},
	{message{wire.HAProxySockpair, "", 2, ""}, "2 descriptors to send"},
	{message{wire.Notify, "", 1, ""}, "a state of 0 bytes"},
	{message{wire.Notify, strings.Repeat("x", 4097), 0, ""}, "a state of 4097 bytes"},
	{message{wire.Notify, "READY=1\x00", 0, ""}, "a 0 byte in the state"},
	{message{wire.Notify, "FDSTORE=1", 254, ""}, "254 descriptors to send, not 0 to 253"},
	{message{wire.OpenSSH, "text", 1, ""}, "no place for text"},
	{message{wire.OpenSSH, "", 0, ""}, "0 descriptors to send"},
	{message{wire.Passfd, "text", 1, ""}, "no place for text"},
	{message{wire.Passfd, "", 2, ""}, "2 descriptors to send"},
	{message{wire.Python, "text", 1, ""}, "no place for text"},
	{message{wire.Python, "", 0, ""}, "0 descriptors to send, not 1 to 253"},
	{message{wire.Python, "", 254, ""}, "254 descriptors to send"},
	{message{wire.Runc, "", 1, ""}, "a name of 0 bytes"},
	{message{wire.Runc, strings.Repeat("n", 4096), 1, ""}, "a name of 4096 bytes"},
	{message{wire.Runc, "name", 2, ""}, "2 descriptors to send"},
	{message{wire.SkalibsAncil, "", 1, ""}, "text of 0 bytes, not 1"},
	{message{wire.SkalibsAncil, "ab", 1, ""}, "text of 2 bytes, not 1"},
	{message{wire.SkalibsAncil, "|", 0, ""}, "0 descriptors to send"},
	{message{wire.SkalibsUnixmessage, "", 254, ""}, "254 descriptors to send"},
}

// cut is the beginning of a message of which the rest never comes.
var cut = []message{
	{wire.APUE, "", 0, "some text"},
	{wire.APUE, "", 1, "\x00"},
	{wire.HAProxySockpair, "", 1, "\x00"},
	{wire.Passfd, "", 1, "\x00\x00\x00"},
	{wire.SkalibsUnixmessage, "", 1, "\x00\x00\x00\x04\x00"},
	{wire.SkalibsUnixmessage, "", 1, "\x00\x00\x00\x04\x00\x01"},
	{wire.SkalibsUnixmessage, "", 1, "\x00\x00\x00\x04\x00\x01dat"},
}

var _ = Describe("what a format does not allow", func() {
	for _, c := range refusedOnReceipt {
		It(fmt.Sprintf("is refused by %s, and what came is closed: %s (%d, %d)", c.format.Name(), c.reason, len(c.payload), c.fds), func() {
			if c.reason == tooMany {
				cannotEmulate(fdtest.NotCut)
			}
			cannotEmulateFormat(c.format)
			f := connect(c.format.Network())
			sends(f.a, c.payload, f.files(c.fds)...)
			text, fds, err := c.format.Recv(f.b)
			Expect(err).To(beFormatError(c.format, c.reason))
			Expect(err).To(MatchError(HavePrefix("wire: " + c.format.Name() + ": ")))
			Expect(text).To(BeEmpty())
			Expect(fds).To(BeEmpty())
		})
	}

	for _, c := range refusedOnSend {
		It(fmt.Sprintf("is not sent by %s: %s (%d, %d)", c.format.Name(), c.reason, len(c.text), c.fds), func() {
			f := connect(c.format.Network())
			Expect(c.format.Send(f.a, c.text, f.files(c.fds)...)).To(beFormatError(c.format, c.reason))
			isEmpty(f.b)
		})
	}

	for _, c := range cut {
		It(fmt.Sprintf("is an end in the middle of a message: %s after %d bytes", c.format.Name(), len(c.payload)), func() {
			f := connect(c.format.Network())
			sends(f.a, c.payload, f.files(c.fds)...)
			f.CloseNow(f.a)
			_, fds, err := c.format.Recv(f.b)
			Expect(err).To(Equal(io.ErrUnexpectedEOF))
			Expect(fds).To(BeEmpty())
		})
	}

	DescribeTable("is a second descriptor with the rest of a message",
		func(format wire.Format, first, rest string) {
			f := connect("unix")
			sends(f.a, first, f.file(""))
			sends(f.a, rest, f.file(""))
			_, fds, err := format.Recv(f.b)
			Expect(err).To(beFormatError(format, tooMany))
			Expect(fds).To(BeEmpty())
		},
		Entry("of Passfd", wire.Passfd, "\x00", "\x00\x00\x00"),
		Entry("of APUE", wire.APUE, "text", "\x00\x00"),
		Entry("of SkalibsUnixmessage", wire.SkalibsUnixmessage, "\x00\x00\x00\x04\x00\x01", "data"),
	)
})

var _ = Describe("an error", func() {
	for _, format := range wire.Formats() {
		g := firstGolden(format)

		if format.Network() != "unixgram" {
			It("of "+format.Name()+" at the end is io.EOF", func() {
				f := connect(format.Network())
				f.CloseNow(f.a)
				_, fds, err := format.Recv(f.b)
				Expect(err).To(Equal(io.EOF))
				Expect(fds).To(BeEmpty())
			})
		}

		if format.Network() == "unix" {
			It("of "+format.Name()+" at the end is io.EOF where the kernel cuts credentials of nobody", func() {
				f := connect(format.Network())
				if err := scm.PassCred(f.b, true); errors.Is(err, errors.ErrUnsupported) {
					Skip(err.Error())
				} else {
					Expect(err).NotTo(HaveOccurred())
				}
				f.CloseNow(f.a)
				_, fds, err := format.Recv(f.b)
				Expect(err).To(Equal(io.EOF))
				Expect(fds).To(BeEmpty())
			})
		}

		It("of "+format.Name()+" is the system's: nobody at the other end", func() {
			cannotEmulateFormat(format)
			f := connect(format.Network())
			f.CloseNow(f.b)
			err := format.Send(f.a, g.text, f.files(g.fds)...)
			if format.Network() == "unixgram" {
				Expect(err).To(MatchError(unix.ECONNREFUSED))
			} else {
				Expect(err).To(MatchError(unix.EPIPE))
			}
		})

		It("of "+format.Name()+" is the system's: a number that is not open", func() {
			cannotEmulateFormat(format)
			f := connect(format.Network())
			fds := f.files(g.fds)
			fds[0] = -1
			Expect(format.Send(f.a, g.text, fds...)).To(MatchError(unix.EBADF))
			isEmpty(f.b)
		})

		It("of "+format.Name()+" is the system's: nothing has come, and the socket does not block", func() {
			cannotEmulateFormat(format)
			f := connect(format.Network())
			Expect(unix.SetNonblock(f.b, true)).To(Succeed())
			_, _, err := format.Recv(f.b)
			Expect(err).To(MatchError(unix.EAGAIN))
		})
	}
})

// firstGolden is a message of the format that has descriptors.
func firstGolden(format wire.Format) message {
	for _, g := range golden {
		if g.format == format && g.fds > 0 {
			return g
		}
	}
	panic("no golden message of " + format.Name())
}
