package scm_test

import (
	"encoding/binary"
	"errors"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Recv passes its flags and always MSG_CMSG_CLOEXEC to the kernel, and never reports the latter", func() {
		sent := f.file()
		f.sends("x", sent)
		// MSG_CTRUNC has no meaning as an argument
		for _, flags := range []int{unix.MSG_PEEK, unix.MSG_PEEK | unix.MSG_CTRUNC, unix.MSG_CMSG_CLOEXEC} {
			f.receives(1, 1, flags, "x", 0, sent)
		}
		isEmpty(f.b)
	})
}, everyType)

// pidfds returns the open descriptors that are pidfds.
func pidfds() []int {
	var fds []int
	for _, fd := range fdtest.Open() {
		if strings.Contains(fdtest.Name(fd), "pidfd") {
			fds = append(fds, fd)
		}
	}
	return fds
}

// passesPidfd sets SO_PASSPIDFD, and skips the spec if this has no effect. Some kernels accept any option.
func (f *fixture) passesPidfd() {
	GinkgoHelper()
	if err := unix.SetsockoptInt(f.b, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1); errors.Is(err, unix.ENOPROTOOPT) {
		Skip("this kernel does not have SO_PASSPIDFD, new in Linux 6.5")
	} else {
		Expect(err).NotTo(HaveOccurred())
	}
	f.sends("effect")
	control := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(f.b, make([]byte, 8), control, 0)
	Expect(err).NotTo(HaveOccurred())
	if n == 0 {
		Skip("this kernel accepts SO_PASSPIDFD but sends no pidfd")
	}
	messages := ok(unix.ParseSocketControlMessage(control[:n]))
	Expect(messages).To(HaveLen(1))
	Expect(unix.Close(int(binary.NativeEndian.Uint32(messages[0].Data)))).To(Succeed())
}

var _ = It("Recv sets MSG_CTRUNC if SO_INQ does not fit into the control buffer, although no descriptor is missing", func() {
	f := connect(unix.SOCK_STREAM)
	if err := unix.SetsockoptInt(f.b, unix.SOL_SOCKET, 84, 1); err != nil {
		Skip("this kernel does not have SO_INQ: " + err.Error())
	}
	sent := f.files(2)
	f.sends("x", sent...)
	f.receives(1, 2, 0, "x", unix.MSG_CTRUNC, sent...)
	f.sends("x", sent...)
	f.receives(1, 32, 0, "x", 0, sent...)
	Expect(scm.WriteFD(f.a, []byte("x"), sent[0])).To(Equal(1))
	f.readsLost(make([]byte, 1), 1)
})
