package scm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Recv with MSG_PEEK returns new duplicates of the descriptors, and leaves the message in the queue", func() {
		sent := f.files(2)
		f.sends("peek", sent...)
		for range 3 {
			f.receives(8, 2, unix.MSG_PEEK, "peek", 0, sent...)
		}
		f.receives(8, 2, 0, "peek", 0, sent...)
		isEmpty(f.b)
	})

	It("Recv always passes MSG_CMSG_CLOEXEC to the kernel, and never reports it", func() {
		// the latter has no meaning as an argument
		for _, flags := range []int{unix.MSG_CMSG_CLOEXEC, unix.MSG_CTRUNC} {
			sent := f.file()
			f.sends("x", sent)
			f.receives(1, 1, flags, "x", 0, sent)
		}
	})
}, everyType)

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Recv with MSG_TRUNC sets N to the length of the whole message", func() {
		for _, bufs := range [][][]byte{cut(make([]byte, 3), 3), cut(make([]byte, 9), slices.Repeat([]int{1}, 9)...)} {
			sent := f.file()
			f.sends("a long message", sent)
			m := scm.Message{Buffers: bufs, FDs: make([]int, 1)}
			Expect(scm.Recv(f.b, &m, unix.MSG_TRUNC)).To(Succeed())
			f.receivedSame(m.FDs[:m.NFD], sent)
			Expect(m.N).To(Equal(len("a long message")))
			Expect(m.Flags).To(Equal(unix.MSG_TRUNC))
			got := string(bytes.Join(bufs, nil))
			Expect(got).To(Equal("a long message"[:len(got)]))
		}
	})
}, everyPacket)

// These options of the receiving socket add other control data to the descriptors: credentials before them,
// or a pidfd after them.

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() {
		f = connect(typ)
		Expect(unix.SetsockoptInt(f.b, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)).To(Succeed())
	})

	It("ReadFD closes every descriptor it received if credentials take the space for one", func() {
		Expect(scm.WriteFD(f.a, []byte("x"), f.file())).To(Equal(1))
		f.readsLost(make([]byte, 1), 1)
	})

	It("Recv returns fewer descriptors if credentials take space in the control buffer", func() {
		CannotEmulate(fdtest.NotCut)
		sent := f.files(scm.MaxFDs)
		f.sends("x", sent...)
		// After the credentials, the control buffer has space for some of the 253.
		room := (unix.CmsgLen(4*scm.MaxFDs) - unix.CmsgSpace(unix.SizeofUcred) - unix.CmsgLen(0)) / 4
		f.receives(1, scm.MaxFDs, 0, "x", unix.MSG_CTRUNC, sent[:room]...)
	})

	It("Recv returns every descriptor if the control buffer also has space for the credentials", func() {
		sent := f.files(3)
		f.sends("x", sent...)
		f.receives(1, 32, 0, "x", 0, sent...)
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

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	var before []int
	BeforeEach(func() {
		f = connect(typ)
		f.passesPidfd()
		before = pidfds()
	})
	AfterEach(func() { Expect(pidfds()).To(Equal(before), "open pidfds") })

	It("ReadFD closes a pidfd that it receives", func() {
		f.sends("x")
		f.readsLost(make([]byte, 1), 1)
	})

	It("ReadFD closes every descriptor it received if a pidfd takes the space for one", func() {
		Expect(scm.WriteFD(f.a, []byte("x"), f.file())).To(Equal(1))
		f.readsLost(make([]byte, 1), 1)
	})

	It("Recv closes a pidfd that was not requested, and sets MSG_CTRUNC", func() {
		f.sends("x")
		f.receives(1, scm.MaxFDs, 0, "x", unix.MSG_CTRUNC)
	})

	It("Recv returns the descriptors that precede a pidfd", func() {
		for _, room := range []int{3, 4, 32, scm.MaxFDs} {
			sent := f.files(3)
			f.sends("x", sent...)
			f.receives(1, room, 0, "x", unix.MSG_CTRUNC, sent...)
		}
	})
}, everyType)

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
