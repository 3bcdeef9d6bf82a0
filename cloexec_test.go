//go:build linux

package scm_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// What a child inherits, as it sees it: a line for each number, with its file.
var _ = Child("inherited", func([]string) {
	for _, fd := range fdtest.Open() {
		id, err := fdtest.Identify(fd)
		Expect(err).NotTo(HaveOccurred())
		fmt.Println(id)
	}
})

// inherited tells whether a child that is started now has the file of fd.
func inherited(fd int) bool {
	GinkgoHelper()
	id, err := fdtest.Identify(fd)
	Expect(err).NotTo(HaveOccurred())
	out := RunChild(ChildCommand("inherited"))
	Expect(strings.Fields(out)).NotTo(BeEmpty())
	return strings.Contains(out, fmt.Sprintln(id))
}

var _ = DescribeTableSubtree("close-on-exec", func(typ int) {
	It("a child does not inherit what was received", func() {
		f := connect(typ)
		one := f.file()
		Expect(scm.WriteFD(f.a, []byte("x"), one)).To(Equal(1))
		_, fd, err := scm.ReadFD(f.b, make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		f.Own(fd)
		Expect(inherited(fd)).To(BeFalse(), "by ReadFD")

		sent := f.files(3)
		f.sends("x", sent...)
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 3)}
			Expect(scm.Recv(f.b, &m, flags)).To(Succeed())
			f.Own(m.FDs[:m.NFD]...)
			for _, fd := range m.FDs[:m.NFD] {
				Expect(inherited(fd)).To(BeFalse(), "by Recv with flags %#x", flags)
			}
		}

		// It would be seen.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(inherited(fd)).To(BeTrue(), "without the flag")
	})

	It("is set on what was received even where the sender's is not", func() {
		f := connect(typ)
		sent := f.file()
		_, err := unix.FcntlInt(uintptr(sent), unix.F_SETFD, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(scm.WriteFD(f.a, []byte("x"), sent)).To(Equal(1))
		f.readsFD(make([]byte, 1), 1, sent)
		Expect(fdtest.CloseOnExec(sent)).To(BeFalse(), "the sender's flag is the sender's")
	})
}, everyType)
