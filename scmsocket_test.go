//go:build linux

package scm_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// The four tests of ChromiumOS's ScmSocket, by name.

var _ = DescribeTableSubtree("ScmSocket", func(typ int) {
	for _, c := range []struct {
		name   string
		bufs   [][]byte
		withFD bool
	}{
		{"send_recv_no_fd", [][]byte{{1, 1, 2}, {21, 34, 55}}, false},
		{"send_recv_only_fd", nil, true},
		{"send_recv_with_fd", [][]byte{{237}}, true},
	} {
		It(c.name, func() {
			if c.bufs == nil {
				if typ == unix.SOCK_STREAM {
					Skip("a stream cannot carry a descriptor without a byte")
				}
				CannotEmulate(fdtest.NoBuffers)
			}
			f := connect(typ)
			out := scm.Message{Buffers: c.bufs}
			origin := ok(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
			f.Own(origin)
			if c.withFD {
				out.FDs = []int{origin}
			}
			Expect(scm.Send(f.a, &out, unix.MSG_NOSIGNAL)).To(Succeed())
			payload := string(bytes.Join(c.bufs, nil))
			Expect(out.N).To(Equal(len(payload)))
			in := scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: make([]int, 2)}
			Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
			Expect(string(in.Buffers[0][:in.N])).To(Equal(payload))
			f.takes(in.FDs[:in.NFD], out.FDs...)
			if c.withFD && (!bigEndian() || fdtest.Emulator() == "") { // whose kernel counts in its own byte order
				number := binary.NativeEndian.AppendUint64(nil, 1203)
				Expect(unix.Write(in.FDs[0], number)).To(Equal(8))
				got := make([]byte, 8)
				Expect(unix.Read(origin, got)).To(Equal(8))
				Expect(got).To(Equal(number))
			}
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
