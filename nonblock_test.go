//go:build linux

package scm_test

import (
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = Describe("Nonblock", func() {
	It("asks and sets what both ends of a file that was passed share", func() {
		a, b := pair("unix")
		r, _ := pipe()
		Expect(scm.Nonblock(r)).To(BeTrue())
		Expect(a.WriteFiles([]byte("x"), r)).To(Equal(1))
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		Expect(err).NotTo(HaveOccurred())
		f := lentAll(files)[0]
		Expect(scm.Nonblock(f)).To(BeTrue())
		Expect(scm.SetNonblock(f, false)).To(Succeed())
		Expect(scm.Nonblock(f)).To(BeFalse())
		Expect(scm.Nonblock(r)).To(BeFalse(), "the sender's too")
		Expect(scm.SetNonblock(r, true)).To(Succeed())
		Expect(scm.Nonblock(f)).To(BeTrue())
		Expect(scm.Nonblock(a)).To(BeTrue())
	})

	It("refuses nil and closed files", func() {
		r, _ := pipe()
		Expect(r.Close()).To(Succeed())
		Expect(Second(scm.Nonblock(nil))).To(MatchError(os.ErrInvalid))
		Expect(Second(scm.Nonblock((*os.File)(nil)))).To(MatchError(os.ErrInvalid))
		Expect(Second(scm.Nonblock(r))).To(MatchError(os.ErrClosed))
		Expect(scm.SetNonblock(nil, true)).To(MatchError(os.ErrInvalid))
		Expect(scm.SetNonblock(r, true)).To(MatchError(os.ErrClosed))
	})
})
