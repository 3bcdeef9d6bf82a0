//go:build linux

package scm_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// What ChromiumOS's ScmSocket does, over everything that is a socket: any bytes
// in any buffers, up to 253 descriptors, and owned files that come back. Its own
// four tests are here by name.

// scmSocket is its trait. A *scm.Conn has it, and a number by way of scmNumber.
type scmSocket interface {
	Send(m *scm.Message, flags int) error
	Recv(m *scm.Message, flags int) error
}

type scmNumber int

func (s scmNumber) Send(m *scm.Message, flags int) error { return scm.Send(int(s), m, flags) }
func (s scmNumber) Recv(m *scm.Message, flags int) error { return scm.Recv(int(s), m, flags) }

// conn is a Conn for the socket, which does not wait for ever.
func (f *fixture) conn(sock int) scmSocket {
	GinkgoHelper()
	c, err := scm.NewConn(f.inherited(sock))
	Expect(err).NotTo(HaveOccurred())
	return closing(c)
}

// sendBufsWithFDs sends the buffers as one message with the descriptors.
func sendBufsWithFDs(s scmSocket, bufs [][]byte, fds ...int) int {
	GinkgoHelper()
	m := scm.Message{Buffers: bufs, FDs: fds}
	Expect(s.Send(&m, unix.MSG_NOSIGNAL)).To(Succeed())
	return m.N
}

// recvIovecsWithFDs receives one message into the buffers, and its descriptors,
// at most so many, as files that the caller owns.
func recvIovecsWithFDs(s scmSocket, bufs [][]byte, most int) (int, []*os.File) {
	GinkgoHelper()
	m := scm.Message{Buffers: bufs, FDs: make([]int, most)}
	Expect(s.Recv(&m, 0)).To(Succeed())
	var files []*os.File
	for _, fd := range m.FDs[:m.NFD] {
		Expect(fdtest.CloseOnExec(fd)).To(BeTrue(), "%d is not close-on-exec", fd)
		file := os.NewFile(uintptr(fd), "received")
		DeferCleanup(func() { _ = file.Close() })
		files = append(files, file)
	}
	return m.N, files
}

// eventfd returns a counter.
func (f *fixture) eventfd() int {
	GinkgoHelper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	Expect(err).NotTo(HaveOccurred())
	f.Own(fd)
	return fd
}

// count writes 1203 to a received counter, and reads it at the origin.
func count(received *os.File, origin int) {
	GinkgoHelper()
	Expect(int(received.Fd())).NotTo(Equal(origin), "the received number is new")
	number := binary.NativeEndian.AppendUint64(nil, 1203)
	Expect(received.Write(number)).To(Equal(8))
	Expect(received.Close()).To(Succeed())
	got := make([]byte, 8)
	Expect(unix.Read(origin, got)).To(Equal(8))
	Expect(binary.NativeEndian.Uint64(got)).To(Equal(uint64(1203)))
}

var _ = DescribeTableSubtree("ScmSocket", func(typ int) {
	for _, way := range []struct {
		name string
		make func(f *fixture, sock int) scmSocket
	}{
		{"a number", func(_ *fixture, sock int) scmSocket { return scmNumber(sock) }},
		{"a Conn", (*fixture).conn},
	} {
		Describe("on "+way.name, func() {
			var f *fixture
			var a, b scmSocket
			BeforeEach(func() {
				f = connect(typ)
				a, b = way.make(f, f.a), way.make(f, f.b)
			})

			It("send_recv_no_fd", func() {
				Expect(sendBufsWithFDs(a, [][]byte{{1, 1, 2}, {21, 34, 55}})).To(Equal(6))
				buf := make([]byte, 6)
				n, files := recvIovecsWithFDs(b, [][]byte{buf}, 2)
				Expect(n).To(Equal(6))
				Expect(files).To(BeEmpty())
				Expect(buf).To(Equal([]byte{1, 1, 2, 21, 34, 55}))
			})

			It("send_recv_only_fd", func() {
				if typ == unix.SOCK_STREAM {
					Skip("a stream cannot carry a descriptor without a byte")
				}
				CannotEmulate(fdtest.NoBuffers)
				origin := f.eventfd()
				Expect(sendBufsWithFDs(a, nil, origin)).To(Equal(0))
				n, files := recvIovecsWithFDs(b, [][]byte{make([]byte, 1)}, 1)
				Expect(n).To(Equal(0))
				Expect(files).To(HaveLen(1))
				count(files[0], origin)
			})

			It("send_recv_with_fd", func() {
				if bigEndian() {
					CannotEmulate(fdtest.HostByteOrder)
				}
				origin := f.eventfd()
				Expect(sendBufsWithFDs(a, [][]byte{{237}}, origin)).To(Equal(1))
				buf := []byte{0}
				n, files := recvIovecsWithFDs(b, [][]byte{buf}, 2)
				Expect(n).To(Equal(1))
				Expect(buf).To(Equal([]byte{237}))
				Expect(files).To(HaveLen(1))
				count(files[0], origin)
			})

			// Its control buffer is inline up to 32 descriptors, and on the heap above.
			for _, n := range []int{2, 32, 33, 253} {
				It(fmt.Sprintf("scatters and gathers beside %d descriptors, which come in order", n), func() {
					sent := f.files(n)
					Expect(sendBufsWithFDs(a, cut(pattern(12), 5, 0, 7), sent...)).To(Equal(12))
					buf := make([]byte, 12)
					got, files := recvIovecsWithFDs(b, cut(buf, 1, 10, 1), n)
					Expect(got).To(Equal(12))
					Expect(buf).To(Equal(pattern(12)))
					Expect(files).To(HaveLen(n))
					for i, file := range files {
						Expect(fdtest.Same(int(file.Fd()), sent[i])).To(BeTrue(), "descriptor %d", i)
					}
				})
			}

			// ScmSocket's control buffer admits one more than an odd number, and its receive
			// panics there: the slice of the caller's room ends before. Of three, two come.
			for _, more := range []struct{ sent, room int }{{2, 1}, {3, 1}, {3, 2}, {8, 7}} {
				It(fmt.Sprintf("returns %d of %d descriptors where there is room for %[1]d, and says that there were more", more.room, more.sent), func() {
					CannotEmulate(fdtest.NotCut)
					sent := f.files(more.sent)
					Expect(sendBufsWithFDs(a, [][]byte{{1}}, sent...)).To(Equal(1))
					m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, more.room)}
					Expect(b.Recv(&m, 0)).To(Succeed())
					Expect([]int{m.NFD, m.Flags}).To(Equal([]int{more.room, unix.MSG_CTRUNC}))
					f.takes(m.FDs, sent[:more.room]...)
				})
			}

			It("receives 0 bytes and no files where nothing is left to come, or nothing was in it", func() {
				if typ == unix.SOCK_STREAM {
					Expect(unix.Shutdown(f.a, unix.SHUT_WR)).To(Succeed())
				} else {
					CannotEmulate(fdtest.NoBuffers)
					Expect(sendBufsWithFDs(a, nil)).To(Equal(0))
				}
				n, files := recvIovecsWithFDs(b, [][]byte{make([]byte, 1)}, 1)
				Expect(n).To(Equal(0))
				Expect(files).To(BeEmpty())
			})

			It("owns the received files: the last Close is the end of them", func() {
				r, w := pipe()
				Expect(sendBufsWithFDs(a, [][]byte{{1}}, int(w.Fd()))).To(Equal(1))
				Expect(w.Close()).To(Succeed())
				_, files := recvIovecsWithFDs(b, [][]byte{make([]byte, 1)}, 1)
				Expect(files[0].WriteString("still open")).To(Equal(10))
				Expect(files[0].Close()).To(Succeed())
				Expect(io.ReadAll(r)).To(BeEquivalentTo("still open"))
			})
		})
	}
}, everyType)

// The sizes of the table: 0 to 5, and the most.
var scmSizes = []int{0, 1, 2, 3, 4, 5, scm.MaxFDs}

var _ = Describe("ScmSocket", func() {
	It("buffer_len", func() {
		if cSpace == nil {
			fdtest.Missing(GinkgoTB(), "cgo is off: C's macros cannot be asked")
		}
		for _, n := range scmSizes {
			Expect(unix.CmsgSpace(4*n)).To(Equal(cSpace(n)), "CMSG_SPACE of %d descriptors", n)
			Expect(unix.CmsgLen(4*n)).To(Equal(cLen(n)), "CMSG_LEN of %d descriptors", n)
		}
	})

	It("sends CMSG_SPACE and CMSG_LEN of them, MSG_NOSIGNAL, and no control buffer for none", func() {
		lines := trace("scmsocket")
		for _, n := range scmSizes {
			calls := marked(lines, fmt.Sprint(n))
			Expect(calls).To(HaveLen(1))
			Expect(calls[0][1]).To(Equal("sendmsg"))
			args := calls[0][2]
			Expect(args).To(HaveSuffix("}, MSG_NOSIGNAL"))
			if n == 0 {
				Expect(args).To(ContainSubstring(", msg_controllen=0, "))
				Expect(args).NotTo(ContainSubstring("msg_control="))
				continue
			}
			Expect(args).To(ContainSubstring("msg_control=[{cmsg_len=%d, ", unix.CmsgLen(4*n)))
			Expect(args).To(ContainSubstring(", msg_controllen=%d, ", unix.CmsgSpace(4*n)))
		}
	})
})

var _ = Child("scmsocket", func([]string) {
	runtime.LockOSThread()
	f := newFixture(unix.SOCK_SEQPACKET)
	for _, n := range scmSizes {
		m := scm.Message{Buffers: [][]byte{{1}}, FDs: make([]int, n)}
		marker("begin " + fmt.Sprint(n))
		err := scm.Send(f.a, &m, unix.MSG_NOSIGNAL)
		marker("end")
		Expect(err).NotTo(HaveOccurred())
	}
})
