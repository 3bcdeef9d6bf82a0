//go:build unix && !aix

package scm_test

import (
	"os"
	"slices"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(network string) {
	It("SendFile sends the name and one descriptor in runc's format, and RecvFile receives them", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.SendFile("/dev/ptmx", f)).To(Succeed())
		receives(b, "/dev/ptmx", f)
		for sent, name := range map[string]string{
			"x":                       "x",
			"with spaces\nand more":   "with spaces\nand more",
			"as conmon sends\x00":     "as conmon sends",
			"two\x00\x00":             "two\x00",
			"\x00":                    "",
			strings.Repeat("n", 4095): strings.Repeat("n", 4095),
		} {
			Expect(a.SendFile(sent, f)).To(Succeed())
			received := closeLater(ok(b.RecvFile()))
			Expect(received.Name()).To(Equal(name))
			areSame([]*os.File{received}, []*os.File{f})
		}
	})

	It("SendFile rejects names of 4096 bytes or more, and rejects an empty name on a stream socket", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.SendFile(strings.Repeat("n", 4096), f)).To(opFails("write", unix.ENAMETOOLONG))
		err := a.SendFile("", f)
		if network == "unix" {
			Expect(err).To(opFails("write", scm.ErrEmptyPayload))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(closeLater(ok(b.RecvFile())).Name()).To(BeEmpty())
	})

	type refusal struct {
		name    string
		payload int
		files   int
		network string // "" is all
		option  func(b *scm.Conn) error
		want    types.GomegaMatcher
		text    string
	}
	for _, c := range []refusal{
		{name: "with two descriptors", payload: 4, files: 2, want: MatchError(unix.EMSGSIZE), text: "scm: message carried more than the 1 descriptor requested"},
		{name: "with three descriptors", payload: 4, files: 3, want: MatchError(unix.EMSGSIZE)},
		{name: "with credentials", payload: 4, files: 1, option: func(b *scm.Conn) error { return b.PassCred(true) }, want: BeAssignableToTypeOf(&scm.TruncatedError{})},
		{name: "without a descriptor", payload: 4, want: opFails("read", scm.ErrNoFile)},
		{name: "with a name of 4096 bytes", payload: 4096, files: 1, want: opFails("read", unix.ENAMETOOLONG)},
		{name: "of 5000 bytes with two descriptors", payload: 5000, files: 2, network: "unixpacket", want: MatchError(unix.EMSGSIZE), text: "scm: message carried more than the 1 descriptor requested"},
		{name: "with a name of 5000 bytes", payload: 5000, files: 1, network: "unixpacket", want: opFails("read", unix.ENAMETOOLONG)},
	} {
		if c.network != "" && c.network != network {
			continue
		}
		It("RecvFile rejects a message "+c.name+", and leaves no descriptor open", func() {
			if c.files == 2 {
				cannotEmulateTwo()
			} else if c.files > 2 {
				CannotEmulate(fdtest.NotCut)
			}
			a, b := pair(network)
			if c.option != nil {
				supported(c.option(b), "SO_PASSCRED")
			}
			r, w := pipe()
			Expect(a.WriteFiles(make([]byte, c.payload), slices.Repeat([]*os.File{w}, c.files)...)).To(Equal(c.payload))
			Expect(w.Close()).To(Succeed())
			before := fdtest.Take()
			f, err := b.RecvFile()
			Expect(f).To(BeNil())
			Expect(err).To(c.want)
			if c.text != "" && unix.CmsgSpace(4) > unix.CmsgLen(4) { // a control buffer for one admits both
				Expect(err).To(MatchError(c.text))
			}
			Expect(before.NewSince()).To(BeEmpty())
			noWriterIsLeft(r)
			if c.option != nil {
				Expect(b.PassCred(false)).To(Succeed())
			}
			Expect(a.SendFile("after", asFile(FDOf(a)))).To(Succeed(), "the conversation goes on")
			Expect(closeLater(ok(b.RecvFile())).Name()).To(Equal("after"))
		})
	}
}, everyNetwork)

// withoutRaw is a caller's own type of connection whose SyscallConn returns neither a RawConn nor an error.
type withoutRaw struct{}

func (withoutRaw) SyscallConn() (syscall.RawConn, error) { return nil, nil }

var _ = It("Nonblock and SetNonblock read and set the flag that both ends of a passed file share", func() {
	a, b := pair("unix")
	r, _ := pipe()
	Expect(a.SendFile("x", r)).To(Succeed())
	f := closeLater(ok(b.RecvFile()))
	Expect(scm.Nonblock(f)).To(BeTrue())
	Expect(scm.SetNonblock(f, false)).To(Succeed())
	Expect(scm.Nonblock(r)).To(BeFalse(), "the sender's too")
	Expect(scm.SetNonblock(r, true)).To(Succeed())
	Expect(scm.Nonblock(f)).To(BeTrue())
	Expect(scm.Nonblock(a)).To(BeTrue())
	Expect(r.Close()).To(Succeed())
	Expect(Second(scm.Nonblock(r))).To(MatchError(os.ErrClosed))
	Expect(scm.SetNonblock(r, true)).To(MatchError(os.ErrClosed))
})
