//go:build linux

package scm_test

import (
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A connWalk calls random methods of two Conns. proof/difftest compares the calls of the backends below them.
type connWalk struct {
	*rand.Rand
	files          []*os.File
	closed, socket *os.File
	open           fdtest.Snapshot // outside of a call
}

var _ = DescribeTableSubtree("on", func(network string) {
	It("random calls of a Conn leave no descriptor open, and return only files that were sent", func() {
		for seed := range uint64(6) {
			w := connWalk{Rand: rand.New(rand.NewPCG(seed, 0)), files: pipes(4), closed: pipes(1)[0]}
			Expect(w.closed.Close()).To(Succeed())
			s, _ := sockets(unix.SOCK_STREAM)
			w.socket = asFile(s)
			config := []scm.Config{{}, {KeepTruncated: true}, {Expect: &scm.Expect{}}}[w.IntN(3)]
			a, b := pairWith(config, network)
			w.open = fdtest.Take()
			for range 60 {
				c := []*scm.Conn{a, b}[w.IntN(2)]
				// Make no call that would block.
				ready := readiness(c)
				what := ""
				switch send := w.IntN(2) == 0; {
				case send && ready&unix.POLLOUT != 0:
					what = w.send(c)
				case !send && ready&unix.POLLIN != 0:
					what = w.receive(c)
				}
				Expect(w.open.NewSince()).To(BeEmpty(), "left open by %s, seed %d", what, seed)
			}
		}
	})
}, everyNetwork)

// readiness returns the events that poll(2) reports for a Conn.
func readiness(c *scm.Conn) int16 {
	GinkgoHelper()
	p := []unix.PollFd{{Fd: int32(FDOf(c)), Events: unix.POLLIN | unix.POLLOUT}}
	_, err := unix.Poll(p, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(p, 0)
	}
	Expect(err).NotTo(HaveOccurred())
	return p[0].Revents
}

func (w *connWalk) one(list ...int) int { return list[w.IntN(len(list))] }

func (w *connWalk) oneFile(list ...*os.File) *os.File { return list[w.IntN(len(list))] }

func (w *connWalk) length() int { return w.one(0, 1, 1, 2, 5, 16, 100, 1000, 4096) }

func (w *connWalk) count() int { return w.one(0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 253, 254) }

// send makes a call that sends, and names it. The call may fail.
func (w *connWalk) send(c *scm.Conn) string {
	var pass []*os.File
	for range w.count() {
		pass = append(pass, w.oneFile(w.files...))
	}
	if w.IntN(12) == 0 {
		pass = append(pass, w.oneFile(nil, w.closed))
	}
	p := make([]byte, w.length())
	switch w.IntN(6) {
	case 0:
		_, _ = c.WriteFiles(p, pass...)
		return "WriteFiles"
	case 1:
		_, _ = c.Write(p)
		return "Write"
	case 2:
		_ = c.SendFile(strings.Repeat("n", w.one(0, 1, 5, 4095, 4096)), w.oneFile(append(w.files, w.closed)...))
		return "SendFile"
	case 3:
		m := scm.Message{Buffers: [][]byte{p, p[:len(p)/2]}, Unpadded: w.IntN(8) == 0}
		for range w.one(0, 1, 2, 3) {
			m.FDs = append(m.FDs, FDOf(w.files[w.IntN(len(w.files))]))
		}
		_ = c.Send(&m, w.one(0, unix.MSG_NOSIGNAL, unix.MSG_DONTWAIT, unix.MSG_EOR, unix.MSG_MORE))
		return "Send"
	case 4:
		_ = c.SendConn(fdtest.AsSocket(w.oneFile(w.socket, w.files[0])))
		return "SendConn"
	}
	_ = c.SendListener(fdtest.AsSocket(w.oneFile(w.socket, w.files[0])))
	return "SendListener"
}

// receive makes a call that receives, closes what it has received, and names the call. The call may fail.
func (w *connWalk) receive(c *scm.Conn) string {
	p := make([]byte, w.length())
	switch w.IntN(6) {
	case 0:
		_, files, _ := c.ReadFiles(p, w.count())
		for _, f := range files {
			w.take(FDOf(f), f)
		}
		return "ReadFiles"
	case 1:
		_, _ = c.Read(p)
		return "Read"
	case 2:
		if f, err := c.RecvFile(); err == nil {
			w.take(FDOf(f), f)
		}
		return "RecvFile"
	case 3:
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{p}, FDs: make([]int, w.count()), PIDFD: &pidfd}
		_ = c.Recv(&m, w.one(0, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_CMSG_CLOEXEC))
		w.takeFDs(m.FDs[:m.NFD])
		if pidfd >= 0 {
			scm.CloseFDs(pidfd)
		}
		return "Recv"
	case 4:
		fds := make([]int, w.count())
		_, n, _ := c.ReadFDs(p, fds)
		w.takeFDs(fds[:n])
		return "ReadFDs"
	}
	var got io.Closer
	got, err := c.RecvConn()
	if err == nil {
		Expect(got.Close()).To(Succeed())
	}
	return "RecvConn"
}

func (w *connWalk) takeFDs(fds []int) {
	for _, fd := range fds {
		w.take(fd, os.NewFile(uintptr(fd), "received"))
	}
}

// take checks that a received file is one that was sent, and closes it.
func (w *connWalk) take(fd int, f *os.File) {
	GinkgoHelper()
	sent := slices.ContainsFunc(append(w.files, w.socket), func(o *os.File) bool { return fdtest.Same(fd, FDOf(o)) })
	Expect(sent).To(BeTrue(), "descriptor %d is not one of the files", fd)
	Expect(f.Close()).To(Succeed())
}
